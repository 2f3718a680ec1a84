//! `mqtt pub`, and `mosquitto_pub`: publishes a message, or many, and ends.
//!
//! One message is sent once, and a connection that is lost before the answer is a failure. Lines go on after a loss, as
//! Mosquitto's do.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use mqtt_client::{Client, Error, Message, Property, Receipt, TopicName};

use crate::configuration::{Configuration, Dialect};
use crate::connection::{self, Failure, Interrupts, WillAtEnd, reason_words};
use crate::content::{self, Payload};
use crate::option::Setting;
use crate::say;
use crate::trace::Trace;

/// How long messages may take to arrive once there is nothing more to send.
const DRAIN: Duration = Duration::from_secs(60);

/// The exit code that a shell gives to what SIGINT has ended.
const INTERRUPTED: u8 = 130;

/// Runs the program.
pub(crate) fn run(configuration: &Configuration) -> ExitCode {
    let payload = match configuration.content.as_ref().map(content::load) {
        Some(Ok(payload)) => Some(payload),
        Some(Err(failure)) => return failure.say(configuration),
        None => None,
    };
    let (Some(payload), Some(topic)) = (payload, configuration.topics.last()) else {
        say::error(format_args!(
            "Error: Both topic and message must be supplied."
        ));
        say::error(format_args!(
            "\nUse '{} --help' to see usage.",
            configuration.called()
        ));
        return ExitCode::FAILURE;
    };
    connection::run(configuration, publish(configuration, topic, payload))
}

async fn publish(
    configuration: &Configuration,
    topic: &str,
    payload: Payload,
) -> Result<(), Failure> {
    let topic = match TopicName::from_text(topic) {
        Ok(topic) => Some(topic),
        Err(_) if configuration.dialect == Dialect::Mosquitto => None,
        Err(wrong) => {
            return Err(Failure::new(
                format!("Error: Invalid topic '{topic}': {wrong}."),
                1,
            ));
        }
    };
    let mut interrupts = Interrupts::new()?;
    let trace = Trace::new(configuration);
    let client = tokio::select! {
        biased;
        _ = interrupts.next() => return Err(Failure::silent(INTERRUPTED)),
        client = connection::connect(configuration, &trace) => client?,
    };
    let Some(topic) = topic else {
        // Mosquitto's library finds that there is no topic, after it has connected, and its program does not mind.
        let wrong = "Error: Invalid input. Does your topic contain '+' or '#'?";
        connection::disconnect(
            configuration,
            &client,
            &trace,
            Duration::ZERO,
            WillAtEnd::Discarded,
        )
        .await?;
        return Err(Failure::new(wrong, 0));
    };
    let mut publisher = Publisher {
        configuration,
        client: client.clone(),
        topic,
        trace: &trace,
        sent: 0,
        worst: None,
    };
    let sent = tokio::select! {
        biased;
        _ = interrupts.next() => Err(Failure::silent(INTERRUPTED)),
        sent = publisher.send(payload) => sent,
    };
    let refused = publisher.worst.take();
    drop(publisher);
    let drain = if sent.is_ok() { DRAIN } else { Duration::ZERO };
    let disconnected =
        connection::disconnect(configuration, &client, &trace, drain, WillAtEnd::Discarded).await;
    sent.and(refused.map_or(Ok(()), Err)).and(disconnected)
}

/// Sends messages to one topic, and numbers them.
struct Publisher<'a> {
    configuration: &'a Configuration,
    client: Client,
    topic: TopicName,
    trace: &'a Trace,
    sent: u64,
    /// The first failure that makes the program fail, but not end.
    worst: Option<Failure>,
}

impl Publisher<'_> {
    async fn send(&mut self, payload: Payload) -> Result<(), Failure> {
        match payload {
            Payload::Whole(payload) => self.repeat(payload).await,
            Payload::Lines => self.lines().await,
        }
    }

    async fn repeat(&mut self, payload: Bytes) -> Result<(), Failure> {
        for turn in 0..self.configuration.repeat {
            if turn > 0 {
                tokio::time::sleep(self.configuration.repeat_delay).await;
            }
            let message = self.message(payload.clone());
            let publishing = self.client.publish_message(message).into_future();
            let lost = connection::lost(self.configuration, &self.client);
            let answer = tokio::select! {
                biased;
                answer = publishing => answer,
                failure = lost => return Err(failure),
            };
            let number = self.sent;
            self.answered(number, answer.map(|_| ()))?;
        }
        Ok(())
    }

    /// Sends lines as fast as the server takes them; answers may come later.
    async fn lines(&mut self) -> Result<(), Failure> {
        let mut lines = content::lines();
        let mut waiting: VecDeque<(u64, Receipt)> = VecDeque::new();
        while let Some(line) = lines.recv().await {
            let line = line.map_err(|cause| Failure::new(format!("Error: {cause}."), 1))?;
            let message = self.message(line);
            match self.client.publish_message(message).enqueue().await {
                Ok(receipt) => waiting.push_back((self.sent, receipt)),
                Err(error) => self.answered(self.sent, Err(error))?,
            }
            while let Some((number, receipt)) = waiting.front_mut() {
                let Some(answer) = receipt.try_answer() else {
                    break;
                };
                let number = *number;
                waiting.pop_front();
                self.answered(number, answer.map(|_| ()))?;
            }
        }
        for (number, receipt) in waiting {
            let answer = receipt.await;
            self.answered(number, answer.map(|_| ()))?;
        }
        Ok(())
    }

    fn message(&mut self, payload: Bytes) -> Message {
        self.sent += 1;
        let configuration = self.configuration;
        let message = Message {
            topic: self.topic.clone(),
            payload,
            qos: configuration.qos,
            retain: configuration.has(Setting::Retain),
            dup: false,
            // The library chooses its own aliases.
            properties: configuration
                .properties
                .publish
                .without(|property| matches!(property, Property::TopicAlias(_))),
        };
        self.trace.publish(self.sent, &message);
        message
    }

    /// Takes note of what has become of a message. Mosquitto's publisher warns of a refusal, and thinks that all is well.
    fn answered(&mut self, number: u64, answer: Result<(), Error>) -> Result<(), Failure> {
        let refusal = match answer {
            Ok(()) => {
                self.trace.published(number, self.configuration.qos);
                return Ok(());
            }
            Err(Error::Refused(refusal)) => refusal,
            Err(error) => return Err(Failure::of(&error, self.configuration)),
        };
        if !self.configuration.has(Setting::Quiet) {
            say::error(format_args!(
                "Warning: Publish {number} failed: {}.",
                reason_words(refusal.reason)
            ));
            if let Some(text) = &refusal.text {
                say::error(format_args!("{text}"));
            }
        }
        if self.configuration.dialect == Dialect::Native {
            self.worst
                .get_or_insert(Failure::silent(refusal.reason as u8));
        }
        Ok(())
    }
}
