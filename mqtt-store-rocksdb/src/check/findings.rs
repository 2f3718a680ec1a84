//! What has been found so far, as much of it as anybody reads.

use super::{Finding, Severity};
use crate::table::Table;

/// Findings of each kind that are kept. Those that come later are counted.
const KEPT_MAX: u64 = 1000;

#[derive(Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Finding>,
    pub(super) damage: u64,
    pub(super) waste: u64,
}

impl Findings {
    pub(super) fn damage(&mut self, table: Table, key: String, what: String) {
        self.damage += 1;
        if self.damage <= KEPT_MAX {
            self.keep(Severity::Damage, table, key, what);
        }
    }

    pub(super) fn waste(&mut self, table: Table, key: String, what: String) {
        self.waste += 1;
        if self.waste <= KEPT_MAX {
            self.keep(Severity::Waste, table, key, what);
        }
    }

    fn keep(&mut self, severity: Severity, table: Table, key: String, what: String) {
        self.kept.push(Finding {
            severity,
            table: table.name(),
            key,
            what,
        });
    }
}
