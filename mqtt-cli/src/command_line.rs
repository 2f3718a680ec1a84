//! Reads a command line into a [`Configuration`]: as Mosquitto's programs do, or as clap does from the same table.
//!
//! Both begin with the options file, so that the command line overrides it. Natively the environment comes before the file.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::configuration::{Complaint, Configuration, Dialect, error};
use crate::option::{self, KnownTo, Program, Row, Setting, Takes};
use crate::property;

/// Why there is nothing to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Help,
    Version,
    Wrong(Complaint),
}

impl From<Complaint> for Stop {
    fn from(complaint: Complaint) -> Self {
        Self::Wrong(complaint)
    }
}

/// Reads the arguments of one of Mosquitto's programs, without its name.
pub(crate) fn read_mosquitto(
    program: Program,
    arguments: &[OsString],
) -> Result<Configuration, Stop> {
    let mut configuration = Configuration::new(program, Dialect::Mosquitto);
    let named = arguments.iter().position(|argument| argument == "-o");
    let file = match named.map(|at| arguments.get(at + 1)) {
        Some(Some(path)) => Some(path.into()),
        Some(None) | None => default_file(program.mosquitto_name()),
    };
    read_file(&mut configuration, file, named.is_some())?;
    read_words(&mut configuration, arguments)?;
    Ok(configuration.finish()?)
}

/// Where options are looked for if no file is named.
fn default_file(name: &str) -> Option<PathBuf> {
    let directory = match std::env::var_os("XDG_CONFIG_HOME") {
        Some(directory) => PathBuf::from(directory),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".config"),
    };
    Some(directory.join(name))
}

fn read_file(
    configuration: &mut Configuration,
    path: Option<PathBuf>,
    named: bool,
) -> Result<(), Stop> {
    let Some(path) = path else { return Ok(()) };
    match std::fs::read(&path) {
        Ok(content) => read_lines(configuration, &content),
        Err(_) if !named => Ok(()),
        Err(cause) => Err(error(format_args!(
            "Unable to read the options file {}: {cause}.",
            path.display()
        ))
        .into()),
    }
}

/// Each line is an option and, after a space, its value, which may have spaces.
fn read_lines(configuration: &mut Configuration, content: &[u8]) -> Result<(), Stop> {
    for line in content.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\r').trim_start_matches(' ');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<OsString> = match line.split_once(' ') {
            Some(("-D" | "--property", _)) => line.split_whitespace().map(OsString::from).collect(),
            Some((option, value)) => vec![option.into(), value.into()],
            None => vec![line.into()],
        };
        read_words(configuration, &words)?;
    }
    Ok(())
}

fn read_words(configuration: &mut Configuration, arguments: &[OsString]) -> Result<(), Stop> {
    let mut rest = arguments;
    while let Some((argument, after)) = rest.split_first() {
        let row = argument
            .to_str()
            .and_then(|argument| option::find(configuration.program, argument));
        let Some(row) = row.filter(|row| is_known(row, configuration.dialect)) else {
            return Err(error(format_args!("Unknown option '{}'.", argument.display())).into());
        };
        configuration.admit(row)?;
        rest = match row.takes {
            Takes::Nothing => {
                flag(configuration, row.setting)?;
                after
            }
            Takes::Value { missing, .. } => {
                let (value, after) = after.split_first().ok_or(error(missing))?;
                configuration.value(row, value)?;
                after
            }
            Takes::Property => {
                let (words, after) = property_words(after);
                configuration.property(&bytes(words))?;
                after
            }
        };
    }
    Ok(())
}

fn is_known(row: &Row, dialect: Dialect) -> bool {
    match (row.known_to, dialect) {
        (KnownTo::Both | KnownTo::Refused(_), _) | (KnownTo::Mqtt, Dialect::Native) => true,
        // Mosquitto 2.1 has it, 2.0 has not: a script that has it wants it.
        (KnownTo::Mqtt, Dialect::Mosquitto) => row.setting == Setting::WebSocket,
    }
}

fn flag(configuration: &mut Configuration, setting: Setting) -> Result<(), Stop> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these two end it")]
    match setting {
        Setting::Help => Err(Stop::Help),
        Setting::ProgramVersion => Err(Stop::Version),
        other => {
            configuration.flag(other);
            Ok(())
        }
    }
}

/// What belongs to a `-D`, and what follows.
fn property_words(arguments: &[OsString]) -> (&[OsString], &[OsString]) {
    let name = arguments.get(1).and_then(|name| name.to_str());
    let wanted = property::arguments_wanted(name).min(arguments.len());
    arguments
        .split_at_checked(wanted)
        .unwrap_or((arguments, &[]))
}

fn bytes(words: &[OsString]) -> Vec<&[u8]> {
    words.iter().map(|word| word.as_encoded_bytes()).collect()
}

/// What separates the parts of a `-D` on its way through clap: no argument can have it within.
const SEPARATOR: char = '\0';

/// Joins each `-D` with what belongs to it, for clap has no options whose arity depends on their values.
pub(crate) fn join_properties(program: Program, arguments: &[OsString]) -> Vec<OsString> {
    let mut joined = Vec::with_capacity(arguments.len());
    let mut rest = arguments;
    while let Some((argument, after)) = rest.split_first() {
        let row = argument
            .to_str()
            .and_then(|argument| option::find(program, argument));
        let (taken, after) = match row.map(|row| row.takes) {
            Some(Takes::Value { .. }) => after.split_at_checked(1).unwrap_or((&[], &[])),
            Some(Takes::Property) => {
                let (words, after) = property_words(after);
                let mut value = OsString::from("--property=");
                value.push(words.join(OsStr::new(&SEPARATOR.to_string())));
                joined.push(value);
                rest = after;
                continue;
            }
            Some(Takes::Nothing) | None => (&[][..], after),
        };
        joined.push(argument.clone());
        joined.extend_from_slice(taken);
        rest = after;
    }
    joined
}

/// Adds the options of `program` to a command of clap's.
pub(crate) fn augment(program: Program, command: clap::Command) -> clap::Command {
    let url = Arg::new("url-argument")
        .value_name("URL")
        .value_parser(value_parser!(OsString))
        .help("mqtt(s)|ws(s)://[user[:password]@]host[:port][/topic]");
    let command = command
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true);
    option::rows(program)
        // The root of the command line has its own, for all subcommands.
        .filter(|row| row.setting != Setting::Help)
        .fold(command.arg(url), |command, row| command.arg(argument(row)))
}

/// What one of Mosquitto's programs has for a help: its own options alone, without the defaults and variables of ours.
pub(crate) fn mosquitto_help(program: Program) -> clap::Command {
    let command = clap::Command::new(program.mosquitto_name())
        .disable_help_flag(true)
        .disable_version_flag(true)
        .after_help("It is the mqtt command, called by this name.");
    let own = option::rows(program).filter(|row| row.known_to == KnownTo::Both);
    own.fold(command, |command, row| {
        let help = row.help.split(" [").next().unwrap_or(row.help);
        let argument = if row.setting == Setting::ProgramVersion {
            Arg::new("version")
                .long("version")
                .action(ArgAction::SetTrue)
        } else {
            argument(row)
        };
        command.arg(argument.help(help))
    })
}

fn argument(row: &'static Row) -> Arg {
    let argument = Arg::new(row.setting.id())
        .help(row.help)
        .help_heading(row.heading)
        .hide(matches!(row.known_to, KnownTo::Refused(_)));
    let argument = match (row.letter, row.long) {
        (Some(letter), Some(long)) => argument.short(letter).long(long),
        (Some(letter), None) => argument.short(letter),
        (None, long) => argument.long(long.unwrap_or_default()),
    };
    match row.takes {
        _ if row.setting == Setting::ProgramVersion => argument.action(ArgAction::Version),
        // Given twice it is as good as once.
        Takes::Nothing => argument
            .action(ArgAction::SetTrue)
            .overrides_with(row.setting.id()),
        Takes::Value { name, .. } => value_argument(argument, name),
        Takes::Property => value_argument(argument, "PACKET NAME VALUE"),
    }
}

fn value_argument(argument: Arg, name: &'static str) -> Arg {
    // A message may begin with a hyphen, as a number below zero does.
    argument
        .action(ArgAction::Append)
        .value_name(name)
        .value_parser(value_parser!(OsString))
        .allow_hyphen_values(true)
}

/// What clap has found, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    url: Option<OsString>,
    options: Vec<(&'static Row, OsString)>,
}

impl Found {
    /// Takes from clap what [`augment`] has told it to look for.
    pub(crate) fn take(program: Program, matches: &ArgMatches) -> Self {
        let mut found: Vec<(usize, &'static Row, OsString)> = Vec::new();
        for row in option::rows(program) {
            let id = row.setting.id();
            if matches!(row.setting, Setting::Help | Setting::ProgramVersion) {
                continue;
            }
            let indices = matches.indices_of(id).into_iter().flatten();
            match row.takes {
                Takes::Nothing if matches.get_flag(id) => {
                    found.extend(indices.map(|index| (index, row, OsString::new())));
                }
                Takes::Nothing => {}
                Takes::Value { .. } | Takes::Property => {
                    let values = matches.get_many::<OsString>(id).into_iter().flatten();
                    found.extend(
                        indices
                            .zip(values)
                            .map(|(index, value)| (index, row, value.clone())),
                    );
                }
            }
        }
        found.sort_by_key(|(index, ..)| *index);
        Self {
            url: matches.get_one::<OsString>("url-argument").cloned(),
            options: found
                .into_iter()
                .map(|(_, row, value)| (row, value))
                .collect(),
        }
    }

    /// Applies all that was found, after the environment and the options file.
    pub(crate) fn configuration(&self, program: Program) -> Result<Configuration, Stop> {
        let mut configuration = Configuration::new(program, Dialect::Native);
        read_environment(&mut configuration)?;
        let named = self
            .options
            .iter()
            .find(|(row, _)| row.setting == Setting::OptionsFile);
        let file = match named {
            Some((_, path)) => Some(path.into()),
            None => default_file("mqtt").map(|directory| directory.join(program.name())),
        };
        read_file(&mut configuration, file, named.is_some())?;
        self.apply(&mut configuration)?;
        Ok(configuration.finish()?)
    }

    fn apply(&self, configuration: &mut Configuration) -> Result<(), Stop> {
        if let Some(url) = &self.url {
            configuration.url_argument(url)?;
        }
        for (row, value) in &self.options {
            configuration.admit(row)?;
            match row.takes {
                Takes::Nothing => configuration.flag(row.setting),
                Takes::Value { .. } => configuration.value(row, value)?,
                Takes::Property => {
                    let words: Vec<&[u8]> =
                        value.as_encoded_bytes().split(|byte| *byte == 0).collect();
                    configuration.property(&words)?;
                }
            }
        }
        Ok(())
    }
}

fn read_environment(configuration: &mut Configuration) -> Result<(), Stop> {
    let all = [
        ("MQTT_URL", "-L"),
        ("MQTT_HOST", "-h"),
        ("MQTT_PORT", "-p"),
        ("MQTT_USERNAME", "-u"),
        ("MQTT_PASSWORD", "-P"),
        ("MQTT_CAFILE", "--cafile"),
    ];
    for (variable, option) in all {
        let value = std::env::var_os(variable).filter(|value| !value.is_empty());
        if let (Some(value), Some(row)) = (value, option::find(configuration.program, option)) {
            configuration
                .value(row, &value)
                .map_err(|Complaint(text)| Complaint(format!("{text} (from {variable})")))?;
        }
    }
    Ok(())
}

/// Makes what clap derives for a type of its own: the options of one program.
macro_rules! arguments {
    ($($name:ident = $program:ident, $doc:literal;)+) => { $(
        #[doc = $doc]
        #[derive(Clone, Debug)]
        pub(crate) struct $name(pub(crate) Found);

        impl clap::FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(Found::take(Program::$program, matches)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = Found::take(Program::$program, matches);
                Ok(())
            }
        }

        impl clap::Args for $name {
            fn augment_args(command: clap::Command) -> clap::Command {
                augment(Program::$program, command)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                augment(Program::$program, command)
            }
        }
    )+ };
}

arguments! {
    PublishArguments = Publish, "What follows `pub`.";
    SubscribeArguments = Subscribe, "What follows `sub`.";
    RequestArguments = Request, "What follows `rr`.";
    RetainedArguments = Retained, "The options of `retained` that say which server, as whom, and which topics.";
}

#[cfg(test)]
mod tests;
