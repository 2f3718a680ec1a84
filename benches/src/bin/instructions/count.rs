//! Counts, made by two tools of valgrind: Cachegrind counts instructions, DHAT allocations. DHAT could count
//! both, but copies memory its own way, a byte at a time.

use std::process::{Command, Stdio};

use serde::Deserialize;

use super::flows::Named;

/// What one message, or other operation, costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

/// True if there is valgrind to count with.
pub(crate) fn is_installed() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// What counts depend on, beside the code: they are compared where it is the same.
pub(crate) fn conditions() -> String {
    let first_line = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let text = text.unwrap_or_default();
        text.lines().next().unwrap_or("unknown").to_owned()
    };
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    // The C library chooses how to copy memory by what the processor has.
    let features = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |feature: &str| features.split_whitespace().any(|word| word == feature);
    let vectors = ["avx2", "avx", "sse4_2", "asimd"];
    let vectors = vectors.into_iter().find(|feature| has(feature));
    format!(
        "{}; {}; {} {}; {}",
        first_line(&compiler, "--version"),
        first_line("ldd", "--version"),
        std::env::consts::ARCH,
        vectors.unwrap_or("without vectors"),
        first_line("valgrind", "--version"),
    )
}

/// Counts a flow.
///
/// # Errors
/// If valgrind or the flow fails.
pub(crate) fn count(flow: &Named) -> Result<Count, String> {
    Ok(Count {
        instructions: each(flow.name, flow.steps, instructions)?,
        // They are the same for each step, or nearly so, and DHAT is slow.
        allocations: each(flow.name, flow.steps / 5, allocations)?,
    })
}

/// What each message takes of something: what twice the steps take more, divided.
fn each(
    name: &str,
    steps: u64,
    count: fn(&str, u64) -> Result<Totals, String>,
) -> Result<f64, String> {
    let once = count(name, steps)?;
    let twice = count(name, 2 * steps)?;
    Ok((twice.total as f64 - once.total as f64) / (steps * once.messages) as f64)
}

/// What a whole process took.
struct Totals {
    /// Messages of one step.
    messages: u64,
    total: u64,
}

fn instructions(name: &str, steps: u64) -> Result<Totals, String> {
    let tool = ["--tool=cachegrind", "--cache-sim=no"];
    let (messages, profile) = run(&tool, "--cachegrind-out-file", name, steps)?;
    // Its last line.
    let summary = profile
        .lines()
        .find_map(|line| line.strip_prefix("summary: "));
    let total = summary.and_then(|total| total.split_whitespace().next()?.parse().ok());
    let total = total.ok_or_else(|| format!("{name}: Cachegrind wrote no summary"))?;
    Ok(Totals { messages, total })
}

/// What DHAT writes, as far as it is of interest.
#[derive(Deserialize)]
struct Profile {
    #[serde(rename = "pps")]
    points: Vec<Point>,
}

/// A place in the program that allocates.
#[derive(Deserialize)]
struct Point {
    /// Blocks that it has allocated.
    #[serde(rename = "tbk")]
    blocks: u64,
}

fn allocations(name: &str, steps: u64) -> Result<Totals, String> {
    let (messages, profile) = run(&["--tool=dhat"], "--dhat-out-file", name, steps)?;
    let profile: Profile =
        serde_json::from_str(&profile).map_err(|error| format!("{name}: {error}"))?;
    let total = profile.points.iter().map(|point| point.blocks).sum();
    Ok(Totals { messages, total })
}

/// Runs a flow in a process of its own, below valgrind: how many messages a step has, and what the tool
/// wrote.
fn run(tool: &[&str], file_option: &str, name: &str, steps: u64) -> Result<(u64, String), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let file = std::env::temp_dir().join(format!("mqtt-instructions-{}", std::process::id()));
    let output = Command::new("valgrind")
        .args(tool)
        .arg(format!("{file_option}={}", file.display()))
        .arg(program)
        .args([name, "--times", &steps.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let profile = std::fs::read_to_string(&file);
    // What cannot be removed is named after the process, and does no harm.
    let _ = std::fs::remove_file(&file);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name}: {}\n{said}", output.status));
    }
    let profile = profile.map_err(|error| format!("{}: {error}", file.display()))?;
    let messages = String::from_utf8_lossy(&output.stdout).trim().parse();
    let messages =
        messages.map_err(|_| format!("{name}: does not say how many messages a step has"))?;
    Ok((messages, profile))
}
