//! Instructions and allocations of the hot paths, counted by valgrind, beside those that are kept.
//!
//! Each flow runs in a process of its own, once, and once for twice as long: what the second run takes more
//! is what the flow costs, without its set-up. Counts do not depend on what else the machine does, but on
//! the compiler, the C library and the processor: where these are others than those of the kept counts,
//! nothing is compared.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints a table"
)]

mod count;
mod flows;
mod kept;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use self::count::Count;
use self::flows::Named;
use self::kept::Kept;

/// A flow that takes more than this, in percent of what was kept, is an error.
const GROWTH_PERCENT_MAX: f64 = 5.0;

/// Counts instructions and allocations of the hot paths, and compares them with those that are kept.
///
/// Exits with 1 if one has grown by more than 5 %.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only flows whose names contain this.
    #[arg(value_name = "NAME")]
    select: Option<String>,

    /// Keeps what is counted now.
    #[arg(long, conflicts_with = "select")]
    keep: bool,

    /// Where the counts are kept.
    #[arg(long, value_name = "FILE", default_value = "benches/instructions.csv")]
    file: PathBuf,

    /// Runs a flow this often, as valgrind is told to.
    #[arg(long, value_name = "TIMES", hide = true, requires = "select")]
    times: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let select = arguments.select.as_deref().unwrap_or_default();
    if let Some(times) = arguments.times {
        return flows::run(select, times);
    }
    if !count::is_installed() {
        println!("Skipped: valgrind, which counts instructions, is not installed.");
        return ExitCode::SUCCESS;
    }
    match report(&arguments, select) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::from(2)
        }
    }
}

/// Counts, prints, and keeps. True if nothing has grown too much.
fn report(arguments: &Arguments, select: &str) -> Result<bool, String> {
    let conditions = count::conditions();
    let kept = if arguments.keep {
        None
    } else {
        kept::read(&arguments.file)?
    };
    let kept = kept.filter(|kept| compares(kept, &conditions));
    println!(
        "{:<34} {:>12} {:>8} {:>11} {:>8}",
        "for each", "instructions", "change", "allocations", "change"
    );
    let mut counts = Vec::new();
    let mut grown = Vec::new();
    for flow in flows::ALL.iter().filter(|flow| flow.name.contains(select)) {
        let count = count::count(flow)?;
        let before = kept.as_ref().and_then(|kept| kept.of(flow.name));
        print_row(flow, &count, before);
        if before.is_some_and(|before| has_grown(&count, before)) {
            grown.push(flow.name);
        }
        counts.push((flow.name, count));
    }
    if counts.is_empty() {
        return Err(format!("there is no flow {select:?}"));
    }
    if arguments.keep {
        kept::write(&arguments.file, &conditions, &counts)?;
        println!("\nKept in {}.", arguments.file.display());
    }
    if !grown.is_empty() {
        println!(
            "\nGrown by more than {GROWTH_PERCENT_MAX} %: {}. If that is worth it, keep the new counts: make instructions ARGS=--keep",
            grown.join(", ")
        );
    }
    Ok(grown.is_empty())
}

fn compares(kept: &Kept, conditions: &str) -> bool {
    let same = kept.conditions == conditions;
    if !same {
        println!(
            "Not compared: counts were kept with {}, and this is {conditions}.\n",
            kept.conditions
        );
    }
    same
}

fn print_row(flow: &Named, count: &Count, before: Option<&Count>) {
    let change = |now: f64, before: Option<f64>| match before {
        Some(before) if before > 0.0 => format!("{:+.1} %", 100.0 * (now / before - 1.0)),
        Some(_) | None => String::new(),
    };
    println!(
        "{:<34} {:>12.1} {:>8} {:>11.2} {:>8}",
        flow.name,
        count.instructions,
        change(count.instructions, before.map(|before| before.instructions)),
        count.allocations,
        change(count.allocations, before.map(|before| before.allocations)),
    );
}

/// Allocations are few: a tenth of one, for each message, is none.
fn has_grown(now: &Count, before: &Count) -> bool {
    let factor = 1.0 + GROWTH_PERCENT_MAX / 100.0;
    now.instructions > before.instructions * factor
        || now.allocations > before.allocations * factor + 0.1
}
