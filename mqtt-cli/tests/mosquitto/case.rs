//! One command line, and what happens around it.
//!
//! In all command lines `{t}` is a topic level that no other case has, and `{port}`, `{auth}`, `{tls}`, `{unix}` and the like are where
//! the broker is. A line with none of these gets host and port in front.

/// A command line to be run with both programs.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The program, without `mosquitto_`, and its arguments.
    pub(crate) line: String,
    pub(crate) stdin: Vec<u8>,
    /// The contents of the options file of the program.
    pub(crate) options: Option<&'static str>,
    /// Command lines of Mosquitto's publisher, before the program starts.
    pub(crate) before: Vec<&'static str>,
    /// A command line of Mosquitto's subscriber, from before the program starts.
    pub(crate) observer: Option<String>,
    /// Command lines of Mosquitto's publisher, when the program has subscribed or, for a request, when the observer has ended.
    pub(crate) during: Vec<&'static str>,
    /// What to look for in the broker's log to know that there is a subscription.
    pub(crate) subscribed: &'static str,
    pub(crate) code: Code,
    pub(crate) stderr: Compare,
    pub(crate) stdout: Compare,
    /// It takes note of all topics, or the place of the broker is in its files.
    pub(crate) alone: bool,
    whole: bool,
    pub(crate) needs: Needs,
}

/// How much of an output must be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    All,
    FirstLine,
    /// All, with each digit taken for the same one: there are times or ports in it.
    WithoutDigits,
    Nothing,
}

/// What exit codes must have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Same,
    /// Both are failures: Mosquitto's is one or another, as it happens.
    Failure,
}

/// What the case needs of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    AnyBroker,
    /// Passwords, TLS, or what Mosquitto does and the standard does not ask for.
    Mosquitto,
}

impl Case {
    fn new(program: &str, arguments: &str) -> Self {
        Self {
            line: format!("{program} {arguments}"),
            stdin: Vec::new(),
            options: None,
            before: Vec::new(),
            observer: None,
            during: Vec::new(),
            subscribed: "{t}",
            code: Code::Same,
            stderr: Compare::All,
            stdout: Compare::All,
            alone: false,
            whole: false,
            needs: Needs::AnyBroker,
        }
    }

    /// `mosquitto_pub`, with a subscriber that takes `count` messages of the case's topics.
    pub(crate) fn publishes(count: usize, arguments: &str) -> Self {
        let observer = format!(
            "-V 5 -q 2 -t {{t}}/# -C {count} -W 5 -F '%t %q %r %l [%p] %C|%D|%E|%F|%P|%R|%S'"
        );
        Self {
            observer: Some(observer),
            ..Self::new("pub", arguments)
        }
    }

    /// `mosquitto_pub` that sends nothing that anybody could receive.
    pub(crate) fn publisher(arguments: &str) -> Self {
        Self::new("pub", arguments)
    }

    /// `mosquitto_sub`, with what is published once it has subscribed.
    pub(crate) fn subscribes(arguments: &str, during: &[&'static str]) -> Self {
        Self {
            during: during.to_vec(),
            ..Self::new("sub", arguments)
        }
    }

    /// `mosquitto_rr`, with a responder: it is answered by publishing when a request has arrived.
    pub(crate) fn requests(arguments: &str, answers: &[&'static str]) -> Self {
        let observer =
            "-V 5 -q 2 -t {t}/request -C 1 -W 5 -F '%t %q %r [%p] %C|%D|%P|%R'".to_owned();
        Self {
            observer: Some(observer),
            during: answers.to_vec(),
            ..Self::new("rr", arguments)
        }
    }

    /// A command line that is refused before anything is connected.
    pub(crate) fn usage(program: &str, arguments: &str) -> Self {
        Self {
            stderr: Compare::FirstLine,
            whole: true,
            ..Self::new(program, arguments)
        }
    }

    /// True if the line is to be taken as it is, without host and port in front.
    pub(crate) fn is_usage(&self) -> bool {
        self.whole
    }

    pub(crate) fn stdin(self, stdin: impl AsRef<[u8]>) -> Self {
        Self {
            stdin: stdin.as_ref().to_vec(),
            ..self
        }
    }

    pub(crate) fn options(self, options: &'static str) -> Self {
        Self {
            options: Some(options),
            ..self
        }
    }

    pub(crate) fn before(self, before: &[&'static str]) -> Self {
        Self {
            before: before.to_vec(),
            ..self
        }
    }

    pub(crate) fn observed_by(self, observer: &str) -> Self {
        Self {
            observer: Some(observer.to_owned()),
            ..self
        }
    }

    pub(crate) fn unobserved(self) -> Self {
        Self {
            observer: None,
            ..self
        }
    }

    pub(crate) fn subscribed(self, subscribed: &'static str) -> Self {
        Self { subscribed, ..self }
    }

    pub(crate) fn stderr(self, stderr: Compare) -> Self {
        Self { stderr, ..self }
    }

    pub(crate) fn stdout(self, stdout: Compare) -> Self {
        Self { stdout, ..self }
    }

    /// It fails, and Mosquitto's program does not always say the same about it.
    pub(crate) fn in_some_way(self) -> Self {
        Self {
            code: Code::Failure,
            stderr: Compare::Nothing,
            ..self
        }
    }

    /// For outputs with times in them.
    pub(crate) fn without_digits(self) -> Self {
        self.stdout(Compare::WithoutDigits)
    }

    /// As it is in the man page: where the broker is stands in the options file.
    pub(crate) fn unchanged(self) -> Self {
        Self {
            whole: true,
            ..self.options("{options}")
        }
    }

    pub(crate) fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }

    pub(crate) fn on_mosquitto(self) -> Self {
        Self {
            needs: Needs::Mosquitto,
            ..self
        }
    }
}

/// Splits a line into words as a shell does, with single and double quotes.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[test]
fn words_are_those_of_a_shell() {
    assert_eq!(
        words("a  'b c' \"d'e\" '' f\\n"),
        ["a", "b c", "d'e", "", "f\\n"]
    );
}
