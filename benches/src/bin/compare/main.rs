//! `make bench-compare`: runs `mqtt bench` against mqttd, other brokers and the floor in turn, and writes tables and a plot.

#![allow(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program that measures: it says how far it is, and reads the clock"
)]

mod contender;
mod document;
mod machine;
mod plot;
mod run;
mod scenario;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use self::contender::{CONTENDERS, Contender, Program, Programs};
use self::document::Conditions;
use self::machine::Machine;
use self::run::{Figures, Setting, medians};
use self::scenario::{SCENARIOS, Scenario};
use self::table::{Results, Row};

/// Open files that a run needs besides those of its clients.
const OTHER_FILES: u64 = 256;
const CLIENTS: u32 = 15_000;

/// Compares mqttd with other brokers and with a forwarder that only moves the bytes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Scenarios to run: all unless some are named.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Rounds; the figures are medians over them.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each timed run.
    #[arg(long, default_value_t = 1.2)]
    seconds: f64,
    /// The directory of mqttd, mqtt and floor.
    #[arg(long, value_name = "DIR", default_value = "target/release")]
    programs: PathBuf,
    /// Mosquitto's program.
    #[arg(long, value_name = "FILE", default_value = "/usr/sbin/mosquitto")]
    mosquitto: PathBuf,
    /// rumqttd's program.
    #[arg(long, value_name = "FILE", default_value = "target/tools/bin/rumqttd")]
    rumqttd: PathBuf,
    /// The document whose section is written; the plot is written beside it.
    #[arg(long, value_name = "FILE", default_value = "docs/performance.md")]
    document: PathBuf,
}

fn main() -> ExitCode {
    match compare(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("compare: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<(), String> {
    let scenarios = chosen(&arguments.scenarios)?;
    let programs = Programs {
        ours: arguments.programs.clone(),
        mosquitto: arguments.mosquitto.clone(),
        rumqttd: arguments.rumqttd.clone(),
    };
    let bench = arguments.programs.join("mqtt");
    if !bench.is_file() {
        return Err(format!("{} is not there", bench.display()));
    }
    let (contenders, missing) = present(&programs);
    if contenders.is_empty() {
        return Err("nobody is there to be compared".to_owned());
    }
    let scratch = std::env::temp_dir().join(format!("mqtt-compare-{}", std::process::id()));
    let failed = |cause: std::io::Error| format!("{}: {cause}", scratch.display());
    fs::create_dir_all(&scratch).map_err(failed)?;
    let conditions = Conditions {
        machine: Machine::here(),
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        command: "make bench-compare".to_owned(),
        missing,
    };
    let setting = Setting {
        bench: &bench,
        directory: &scratch,
        seconds: arguments.seconds,
        clients: clients(),
    };
    let results = measure(&setting, &contenders, &scenarios, arguments.rounds);
    fs::remove_dir_all(&scratch).map_err(failed)?;
    write(&arguments.document, &results, &contenders, &conditions)
}

/// A contender, and the file of its program.
type Present = (&'static Contender, PathBuf);

/// Those that are installed; the others are told of at once, and in the document.
fn present(programs: &Programs) -> (Vec<Present>, Vec<String>) {
    let (mut contenders, mut missing) = (Vec::new(), Vec::new());
    for contender in CONTENDERS {
        if let Some(file) = programs.find(contender.program) {
            contenders.push((contender, file));
        } else {
            eprintln!("SKIPPED: {} is not installed", contender.name);
            missing.push(contender.name.to_owned());
        }
    }
    (contenders, missing)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>, String> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    let find = |name: &String| {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.ok_or_else(|| {
            let all: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            format!("there is no scenario {name}; there are {}", all.join(", "))
        })
    };
    names.iter().map(find).collect()
}

/// As many clients as files may be open, up to a bound.
fn clients() -> u32 {
    use rustix::process::{Resource, getrlimit};
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let most = most.saturating_sub(OTHER_FILES);
    u32::try_from(most).map_or(CLIENTS, |most| most.min(CLIENTS))
}

fn measure(
    setting: &Setting<'_>,
    contenders: &[Present],
    scenarios: &[&'static Scenario],
    rounds: u32,
) -> Results {
    let mut runs: Vec<Vec<Vec<Figures>>> =
        vec![vec![Vec::new(); contenders.len()]; scenarios.len()];
    for (scenario, runs) in scenarios.iter().zip(&mut runs) {
        for round in 1..=rounds {
            for ((contender, program), runs) in contenders.iter().zip(runs.iter_mut()) {
                if contender.program == Program::Floor && !scenario.floor {
                    continue;
                }
                let figures = setting.run(contender, program, scenario);
                progress(scenario, round, contender, &figures);
                runs.push(figures);
            }
        }
    }
    let row = |(scenario, runs): (&&'static Scenario, &Vec<Vec<Figures>>)| Row {
        scenario: scenario.name,
        arguments: scenario
            .arguments
            .replace("CLIENTS", &setting.clients.to_string()),
        figures: runs
            .iter()
            .map(|runs| (!runs.is_empty()).then(|| medians(runs)))
            .collect(),
    };
    Results {
        contenders: contenders
            .iter()
            .map(|(contender, _)| contender.name.to_owned())
            .collect(),
        rows: scenarios.iter().zip(&runs).map(row).collect(),
    }
}

fn progress(scenario: &Scenario, round: u32, contender: &Contender, figures: &Figures) {
    let cpu = figures
        .cpu_us
        .map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.3} µs"));
    let wrong = figures.wrong.join("; ");
    let (name, who) = (scenario.name, contender.name);
    eprintln!("{name:<14} {round}  {who:<16} {cpu:>12}  {wrong}");
}

fn write(
    document: &Path,
    results: &Results,
    contenders: &[Present],
    conditions: &Conditions,
) -> Result<(), String> {
    let failed = |cause: std::io::Error| format!("{}: {cause}", document.display());
    let plot_file = document.with_extension("svg");
    let plot_name = plot_file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let contenders: Vec<&Contender> = contenders.iter().map(|(contender, _)| *contender).collect();
    let section = document::section(results, &contenders, conditions, &plot_name);
    let old = match fs::read_to_string(document) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(cause) => return Err(failed(cause)),
    };
    fs::write(document, document::replace(&old, &section)).map_err(failed)?;
    fs::write(&plot_file, plot::plot(results)).map_err(failed)?;
    eprintln!(
        "{} and {} are written",
        document.display(),
        plot_file.display()
    );
    Ok(())
}
