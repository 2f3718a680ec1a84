//! `mqtt sub`, and `mosquitto_sub`: subscribes, prints what arrives, and goes on until it is told to end.
//!
//! A message is acknowledged once it is written: a pipe that is read slowly stops the server, and nothing is lost in between. A
//! connection that is lost is made again.

use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use mqtt_client::{
    Client, Delivery, Error, Message, QoS, ReasonCode, RetainHandling, State, StateWatch,
    StreamFull, Subscribe, Subscription, SubscriptionOptions, TopicFilter,
};

use crate::configuration::{Configuration, Dialect};
use crate::connection::{self, Failure, Interrupts, WillAtEnd, reason_words};
use crate::option::Setting;
use crate::output::Output;
use crate::say;
use crate::trace::Trace;

/// How long acknowledgements, and the clearing of retained messages, may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// Messages that are printed before anything else gets its turn.
const TURN: u64 = 256;

/// Runs the program.
pub(crate) fn run(configuration: &Configuration) -> ExitCode {
    if configuration.has(Setting::NoRetained) && configuration.has(Setting::RetainedOnly) {
        say::error(format_args!(
            "\nError: Combining '-R' and '--retained-only' makes no sense."
        ));
        return ExitCode::FAILURE;
    }
    connection::run(configuration, subscribe(configuration))
}

/// Why there is no more to print.
enum End {
    /// All is printed that was wanted.
    Done,
    /// The time of `-W` is over.
    TimedOut,
    Interrupted,
    /// Nobody reads standard output any more.
    NoReader,
    Failed(Failure),
}

async fn subscribe(configuration: &Configuration) -> Result<(), Failure> {
    let mut interrupts = Interrupts::new()?;
    let mut deadline = pin!(after(configuration.timeout));
    let trace = Trace::new(configuration);
    let client = tokio::select! {
        biased;
        _ = interrupts.next() => return Ok(()),
        () = &mut deadline => return Err(Failure::timed_out()),
        client = connection::connect(configuration, &trace) => client?,
    };
    let mut subscriber = Subscriber::new(configuration, &client, &trace);
    let end = tokio::select! {
        biased;
        _ = interrupts.next() => End::Interrupted,
        () = &mut deadline => End::TimedOut,
        end = subscriber.run() => end,
    };
    // What was taken out of the stream is printed, whatever has come in between; if nobody reads it, that is the end, too.
    let _ = subscriber.write();
    drop(subscriber);
    finish(configuration, &client, &trace, end).await
}

/// Ends when the time is over; without one, never.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

async fn finish(
    configuration: &Configuration,
    client: &Client,
    trace: &Trace,
    end: End,
) -> Result<(), Failure> {
    // Whoever stops Mosquitto's subscriber has its will published.
    let will = match (&end, configuration.dialect) {
        (End::TimedOut | End::Interrupted, Dialect::Mosquitto) => WillAtEnd::Published,
        (_, _) => WillAtEnd::Discarded,
    };
    let disconnected = connection::disconnect(configuration, client, trace, DRAIN, will).await;
    match end {
        End::Done | End::Interrupted | End::NoReader => disconnected,
        End::TimedOut => Err(Failure::timed_out()),
        End::Failed(failure) => Err(failure),
    }
}

/// Whether a message was the last that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Yes,
    No,
}

/// Prints messages.
struct Subscriber<'a> {
    configuration: &'a Configuration,
    client: &'a Client,
    trace: &'a Trace,
    output: Output,
    messages: Option<Subscription<Delivery>>,
    /// Printed, and not written yet.
    unwritten: Vec<Delivery>,
    printed: u32,
    states: StateWatch,
    link: Link,
}

/// What was last told of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up,
    Lost,
}

impl<'a> Subscriber<'a> {
    fn new(configuration: &'a Configuration, client: &'a Client, trace: &'a Trace) -> Self {
        Self {
            configuration,
            client,
            trace,
            output: Output::new(configuration),
            messages: None,
            unwritten: Vec::new(),
            printed: 0,
            states: client.state(),
            link: Link::Up,
        }
    }

    async fn run(&mut self) -> End {
        match self.subscribe().await {
            Ok(Some(messages)) => self.messages = Some(messages),
            Ok(None) if self.configuration.dialect == Dialect::Native => return End::Done,
            // Mosquitto's subscriber does not ask what it waits for.
            Ok(None) => return std::future::pending().await,
            Err(failure) => return End::Failed(failure),
        };
        if self.configuration.has(Setting::ExitAfterSubscribe) {
            return End::Done;
        }
        for number in 1_u64.. {
            if number.is_multiple_of(TURN) {
                // Signals and the time of -W are seen even where messages never cease.
                tokio::task::yield_now().await;
            }
            let next = match self.messages.as_mut().and_then(Subscription::try_next) {
                Some(message) => Some(message),
                None => {
                    if self.write().is_err() {
                        return End::NoReader;
                    }
                    match self.next().await {
                        Ok(message) => message,
                        Err(failure) => return End::Failed(failure),
                    }
                }
            };
            let ends = match next.map(|message| self.take(message)) {
                Some(Ok(ends)) => ends,
                Some(Err(_)) => return End::NoReader,
                // The stream ends with the client, and the state says why; that is looked at next.
                None => Ends::No,
            };
            if ends == Ends::Yes {
                return if self.write().is_err() {
                    End::NoReader
                } else {
                    End::Done
                };
            }
        }
        End::Done
    }

    /// Waits for a message; `None` once there are no more. Tells of losses of the connection meanwhile.
    async fn next(&mut self) -> Result<Option<Delivery>, Failure> {
        loop {
            let Some(messages) = &mut self.messages else {
                return Ok(None);
            };
            let state = tokio::select! {
                biased;
                state = self.states.changed() => state,
                message = messages.next() => return Ok(message),
            };
            self.tell_of(state)?;
        }
    }

    fn tell_of(&mut self, state: State) -> Result<(), Failure> {
        match state {
            State::Ended(ended) => {
                return Err(Failure::of(&Error::Ended(ended), self.configuration));
            }
            State::Connecting {
                last_error: Some(error),
                next_in,
                ..
            } => {
                let what = match std::mem::replace(&mut self.link, Link::Lost) {
                    Link::Up => "Connection lost",
                    Link::Lost => "Not connected",
                };
                let seconds = next_in.as_secs_f64();
                self.tell(format_args!(
                    "{what}: {error}. Trying again in {seconds:.1} s."
                ));
            }
            State::Connecting { .. } => {}
            State::Connected(_) => {
                self.link = Link::Up;
                self.tell(format_args!("Connected again."));
            }
        }
        Ok(())
    }

    /// Mosquitto's subscriber goes on without a word.
    fn tell(&self, line: std::fmt::Arguments<'_>) {
        if self.configuration.dialect == Dialect::Native && !self.configuration.has(Setting::Quiet)
        {
            say::error(line);
        }
    }

    /// Gives nothing if there is nothing left to subscribe to.
    async fn subscribe(&self) -> Result<Option<Subscription<Delivery>>, Failure> {
        let failed = |error: &Error| Failure::of(error, self.configuration);
        let unwanted = &self.configuration.unsubscribe;
        for filter in unwanted {
            self.unsubscribe(filter)
                .await
                .map_err(|error| failed(&error))?;
        }
        let topics = self.configuration.topics.iter();
        let filters: Vec<TopicFilter> = topics
            .filter_map(|topic| TopicFilter::from_text(topic).ok())
            .filter(|filter| !unwanted.contains(filter))
            .collect();
        if filters.is_empty() {
            return Ok(None);
        }
        let number = self.trace.next_number();
        self.trace.subscribe(number, &filters, self.options());
        let subscribe = self.prepared(self.client.subscribe(filters)).manual_ack();
        let messages = subscribe.start().map_err(|error| failed(&error))?;
        let granted = messages.ready().await.map_err(|error| failed(&error))?;
        self.trace.subscribed(number, &granted);
        self.check(&messages, &granted)?;
        Ok(Some(messages))
    }

    /// The server forgets a subscription, whoever has made it: it is made once more, and then unsubscribed.
    async fn unsubscribe(&self, filter: &TopicFilter) -> Result<(), Error> {
        let subscribe = self
            .client
            .subscribe(filter)
            .retain_handling(RetainHandling::DoNotSend);
        let subscription = subscribe.allow_refusals().start()?;
        subscription.ready().await?;
        self.trace.unsubscribe(self.trace.next_number(), filter);
        subscription.unsubscribe().await?;
        self.trace.unsubscribed();
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        let configuration = self.configuration;
        SubscriptionOptions {
            qos: configuration.qos,
            no_local: configuration.has(Setting::NoLocal),
            retain_as_published: configuration.has(Setting::RetainAsPublished),
            retain_handling: match configuration.has(Setting::NoRetained) {
                true => RetainHandling::DoNotSend,
                false => configuration.retain_handling,
            },
        }
    }

    fn prepared(&self, subscribe: Subscribe) -> Subscribe {
        let options = self.options();
        let mut subscribe = subscribe
            .qos(options.qos)
            .retain_handling(options.retain_handling)
            .when_full(StreamFull::Wait);
        if options.no_local {
            subscribe = subscribe.no_local();
        }
        if options.retain_as_published {
            subscribe = subscribe.retain_as_published();
        }
        let properties = self.configuration.properties.subscribe.user_properties();
        properties.fold(subscribe, |subscribe, property| {
            subscribe.user_property(property.name.to_str(), property.value.to_str())
        })
    }

    /// Says which filters the server refuses; without any that it grants, there is nothing to wait for.
    fn check(
        &self,
        messages: &Subscription<Delivery>,
        granted: &[Result<QoS, ReasonCode>],
    ) -> Result<(), Failure> {
        let refused = messages.filters().iter().zip(granted);
        for (filter, reason) in refused.filter_map(|(filter, answer)| Some((filter, answer.err()?)))
        {
            self.tell(format_args!(
                "The server refuses {filter}: {}.",
                reason_words(reason)
            ));
        }
        match granted.iter().find_map(|answer| answer.err()) {
            Some(reason) if granted.iter().all(Result::is_err) => {
                let code = match self.configuration.dialect {
                    Dialect::Mosquitto => 0,
                    Dialect::Native => reason as u8,
                };
                Err(Failure::new("All subscription requests were denied.", code))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Prints a message, if it is one to be printed; tells whether it was the last that is wanted.
    fn take(&mut self, delivery: Delivery) -> io::Result<Ends> {
        let configuration = self.configuration;
        let message = delivery.message();
        if configuration.has(Setting::RetainedOnly) && !message.retain {
            self.unwritten.push(delivery);
            return Ok(Ends::Yes);
        }
        if self.trace.tells() {
            // It must not come before the payloads that were first.
            self.output.flush()?;
        }
        self.trace.received(message, delivery.packet_id());
        let is_stale = message.retain && configuration.has(Setting::NoRetained);
        let is_out = configuration
            .filter_out
            .iter()
            .any(|filter| filter.matches(&message.topic));
        let mut ends = Ends::No;
        if !is_stale && !is_out {
            if message.retain && configuration.has(Setting::RemoveRetained) {
                self.clear(message);
            }
            if configuration
                .random_filter
                .is_none_or(|of_thousand| fastrand::u16(..1000) < of_thousand)
            {
                self.output.print(message, delivery.packet_id())?;
            }
            self.printed += 1;
            if configuration
                .count
                .is_some_and(|count| self.printed >= count)
            {
                ends = Ends::Yes;
            }
        }
        self.unwritten.push(delivery);
        Ok(ends)
    }

    /// Has the server forget a retained message. The answer is waited for at the end.
    fn clear(&self, message: &Message) {
        let publish = self
            .client
            .publish(&message.topic, Bytes::new())
            .qos(QoS::AtLeastOnce)
            .retain();
        match publish.try_enqueue() {
            Ok(receipt) => drop(receipt),
            Err(error) => self.tell(format_args!("{} is not cleared: {error}.", message.topic)),
        }
    }

    /// Writes what is printed, and acknowledges it.
    fn write(&mut self) -> io::Result<()> {
        self.output.flush()?;
        for delivery in self.unwritten.drain(..) {
            self.trace
                .acknowledged(delivery.message().qos, delivery.packet_id());
            delivery.ack();
        }
        Ok(())
    }
}
