//! What clients have to complain about.

use std::fmt;

/// Broken promises.
#[derive(Default)]
pub(crate) struct Findings(Vec<Finding>);

struct Finding {
    kind: Kind,
    text: String,
}

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message was acknowledged, and has not come.
    Lost,
    /// A QoS 2 message has come twice.
    Duplicate,
    /// Messages came in another order.
    Order,
    /// A message was sent again with another packet identifier, or without DUP.
    Resend,
    /// Session Present was wrong.
    Session,
    /// A subscription is gone, or has come back.
    Subscription,
    /// A retained message is neither the one acknowledged nor a later one.
    Retained,
    /// A will was not published, or should not have been.
    Will,
    /// The server sent something it must not.
    Protocol,
}

impl Findings {
    pub(crate) fn add(&mut self, kind: Kind, text: String) {
        self.0.push(Finding { kind, text });
    }

    /// Takes those of another.
    pub(crate) fn take(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.0.iter().filter(|finding| finding.kind == kind).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} promises broken:", self.0.len())?;
        for Finding { kind, text } in self.0.iter().take(30) {
            write!(f, "\n{kind:?}: {text}")?;
        }
        Ok(())
    }
}
