//! `mqtt rr`, and `mosquitto_rr`: publishes a request, and prints the response.
//!
//! With `-e` the response is the first message on that topic. Without it the library finds a topic of its own, and takes the
//! response that belongs to the request (5.0).

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use mqtt_client::{Client, Message, Properties, Property, RetainHandling, StreamFull, TopicName};
use mqtt_codec::PacketId;

use crate::configuration::{Configuration, Dialect};
use crate::connection::{self, Failure, Interrupts, WillAtEnd, reason_words};
use crate::content::{self, Payload};
use crate::option::Setting;
use crate::output::Output;
use crate::say;
use crate::trace::Trace;

/// How long the acknowledgement of the response may take.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a response is waited for where nothing else is said: in effect, for ever.
const PATIENCE: Duration = Duration::from_secs(365 * 24 * 3600);
/// The exit code that a shell gives to what SIGINT has ended.
const INTERRUPTED: u8 = 130;

/// Runs the program.
pub(crate) fn run(configuration: &Configuration) -> ExitCode {
    let topic = configuration
        .topics
        .last()
        .filter(|topic| !topic.is_empty());
    let (Some(topic), Some(content)) = (topic, &configuration.content) else {
        return incomplete(configuration);
    };
    if configuration.response_topic.is_none() && configuration.dialect == Dialect::Mosquitto {
        return incomplete(configuration);
    }
    let payload = match content::load(content) {
        Ok(Payload::Whole(payload)) => payload,
        Ok(Payload::Lines) => return incomplete(configuration),
        Err(failure) => return failure.say(configuration),
    };
    match prepared(configuration, topic, payload) {
        Ok(message) => connection::run(configuration, request(configuration, message)),
        Err(failure) => failure.say(configuration),
    }
}

fn incomplete(configuration: &Configuration) -> ExitCode {
    let wanted = match configuration.dialect {
        Dialect::Mosquitto => "All of topic, message, and response topic must be supplied.",
        Dialect::Native => "Both topic and message must be supplied.",
    };
    say::error(format_args!(
        "Error: {wanted}\n\nUse '{} --help' to see usage.",
        configuration.called()
    ));
    ExitCode::FAILURE
}

/// The request, with the response topic in it.
fn prepared(
    configuration: &Configuration,
    topic: &str,
    payload: Bytes,
) -> Result<Message, Failure> {
    let wrong = |cause: String| Failure::new(format!("Error: {cause}"), 1);
    let given = &configuration.properties.publish;
    if given.response_topic().is_some() && configuration.response_topic.is_some() {
        return Err(wrong(
            "in PUBLISH properties: Duplicate response topic.".to_owned(),
        ));
    }
    let response = configuration
        .response_topic
        .as_ref()
        .map(|topic| Property::ResponseTopic(topic.as_view()));
    let others = given
        .iter()
        .filter(|property| !matches!(property, Property::TopicAlias(_)));
    Ok(Message {
        topic: TopicName::from_text(topic).map_err(|cause| wrong(cause.to_string()))?,
        payload,
        qos: configuration.qos,
        retain: false,
        dup: false,
        properties: Properties::new(others.chain(response))
            .map_err(|cause| wrong(cause.to_string()))?,
    })
}

async fn request(configuration: &Configuration, message: Message) -> Result<(), Failure> {
    let mut interrupts = Interrupts::new()?;
    let trace = Trace::new(configuration);
    let time = configuration.timeout.unwrap_or(PATIENCE);
    let mut deadline = pin!(tokio::time::sleep(time));
    let client = tokio::select! {
        biased;
        _ = interrupts.next() => return Err(Failure::silent(INTERRUPTED)),
        () = &mut deadline => return Err(Failure::timed_out()),
        client = connection::connect(configuration, &trace) => client?,
    };
    let mut output = Output::new(configuration);
    let answered = tokio::select! {
        biased;
        _ = interrupts.next() => Err(Failure::silent(INTERRUPTED)),
        () = &mut deadline => Err(Failure::timed_out()),
        failure = connection::lost(configuration, &client) => Err(failure),
        answered = ask(configuration, &client, &trace, message, &mut output) => answered,
    };
    // Whoever stops Mosquitto's program, or makes it wait for too long, has its will published.
    let will = match (&answered, configuration.dialect) {
        (Err(_), Dialect::Mosquitto) => WillAtEnd::Published,
        (_, _) => WillAtEnd::Discarded,
    };
    let drain = if answered.is_ok() {
        DRAIN
    } else {
        Duration::ZERO
    };
    let disconnected = connection::disconnect(configuration, &client, &trace, drain, will).await;
    answered.and(disconnected)
}

async fn ask(
    configuration: &Configuration,
    client: &Client,
    trace: &Trace,
    message: Message,
    output: &mut Output,
) -> Result<(), Failure> {
    let failed = |error: mqtt_client::Error| Failure::of(&error, configuration);
    let Some(topic) = &configuration.response_topic else {
        let response = asked(client, &message).await.map_err(failed)?;
        return print(output, &response, None);
    };
    let mut subscribe = client
        .subscribe(topic.as_str())
        .qos(configuration.qos)
        .when_full(StreamFull::Wait);
    if configuration.has(Setting::NoRetained) {
        subscribe = subscribe.retain_handling(RetainHandling::DoNotSend);
    }
    let mut responses = subscribe.manual_ack().start().map_err(failed)?;
    let number = trace.next_number();
    let granted = responses.ready().await.map_err(failed)?;
    trace.subscribed(number, &granted);
    if let Some(Err(reason)) = granted.first() {
        return Err(Failure::new(reason_words(*reason), *reason as u8));
    }
    trace.publish(trace.next_number(), &message);
    client.publish_message(message).await.map_err(failed)?;
    let Some(response) = responses.next().await else {
        return Err(Failure::lost(None, configuration));
    };
    print(output, response.message(), response.packet_id())?;
    response.ack();
    Ok(())
}

/// Asks in the library's way, with a response topic that nobody else knows.
async fn asked(client: &Client, message: &Message) -> Result<Message, mqtt_client::Error> {
    let mut request = client
        .request(&message.topic, message.payload.clone())
        .qos(message.qos)
        .timeout(PATIENCE);
    if let Some(content_type) = message.content_type() {
        request = request.content_type(content_type);
    }
    for property in message.user_properties() {
        request = request.user_property(property.name.to_str(), property.value.to_str());
    }
    request.await
}

fn print(
    output: &mut Output,
    message: &Message,
    packet_id: Option<PacketId>,
) -> Result<(), Failure> {
    let written = output
        .print(message, packet_id)
        .and_then(|()| output.flush());
    // Nobody reads it: that is the reader's affair.
    written.or(Ok(()))
}
