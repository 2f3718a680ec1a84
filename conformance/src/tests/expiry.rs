//! What ends by itself: sessions, wills that wait, messages.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Version::V5;
use crate::client::Client;
use crate::test::{Test, connect, tests};

/// Wills and sessions that last a second do not end before.
const NEARLY_A_SECOND: Duration = Duration::from_millis(900);

/// Longer than a second, for a server that counts whole ones, too.
const A_SECOND_PAST: Duration = Duration::from_millis(2300);

tests! {
    /// A DISCONNECT may shorten the time of a session: it is over then.
    [v5]
    fn shortened_at_disconnect(t) {
        let mut client = t.stays("s");
        client.subscribe("~/t", 1);
        client.send("e0 <00 {11 00000001}>");
        client.closed();
        sleep(A_SECOND_PAST);
        t.client_with("s", "00", "11 000003e8", "").quiet();
    }

    /// A DISCONNECT may end a session.
    [v5]
    fn ended_at_disconnect(t) {
        let mut client = t.stays("s");
        client.send("e0 <00 {11 00000000}>");
        client.closed();
        t.client_with("s", "00", "11 000003e8", "").quiet();
    }

    /// A DISCONNECT may make the time of a session longer.
    [v5]
    fn lengthened_at_disconnect(t) {
        let mut client = t.client_with("s", "00", "11 00000001", "");
        client.subscribe("~/t", 1);
        client.send("e0 <00 {11 000003e8}>");
        client.closed();
        t.client("p").publish("~/t", 1, "waits");
        sleep(A_SECOND_PAST);
        t.returns("s").message("~/t", "waits");
    }

    /// The time of a session counts from the end of its connection, and begins anew with each.
    [v5]
    fn counted_from_the_end(t) {
        let mut client = t.client_with("s", "00", "11 00000003", "");
        client.pinged();
        sleep(Duration::from_millis(3500));
        client.vanish();
        for _ in 0..2 {
            // Twice, it is longer than the session lasts.
            sleep(Duration::from_millis(1600));
            t.returns_for("s", 3).vanish();
        }
    }

    /// A session without an expiry interval ends with its connection, even if an earlier one had another.
    [v5]
    fn none_on_the_last_connection(t) {
        t.stays("s").disconnect();
        let mut client = t.open();
        client.send(&connect(t.version, "s", "00", "", ""));
        client.expect("20 <01 00 {..}>");
        client.vanish();
        t.client_with("s", "00", "", "").quiet();
    }

    /// A will that waits is not published if its client is back before the delay is over.
    [v5]
    fn back_before_the_will(t) {
        let mut witness = witness(t);
        leaves_will(t, "s", 2, 1000);
        let mut client = t.returns("s");
        client.pinged();
        witness.silent_for(Duration::from_millis(3000));
    }

    /// A will that waits is published when the delay is over, and not earlier.
    [v5]
    fn delay_is_over(t) {
        let mut witness = witness(t);
        let start = Instant::now();
        leaves_will(t, "s", 1, 1000);
        witness.message("~/will", "gone");
        assert!(start.elapsed() > NEARLY_A_SECOND, "{:?}", start.elapsed());
        // Once.
        t.returns("s").pinged();
        witness.quiet();
    }

    /// A will that waits is published at the latest when its session ends.
    [v5]
    fn session_ends_before_the_delay(t) {
        let mut witness = witness(t);
        let start = Instant::now();
        leaves_will(t, "s", 1000, 1);
        witness.message("~/will", "gone");
        assert!(start.elapsed() > NEARLY_A_SECOND, "{:?}", start.elapsed());
    }

    /// A will with a delay is published at once where the session ends with its connection.
    [v5]
    fn delay_without_a_session(t) {
        let mut witness = witness(t);
        leaves_will(t, "s", 1000, 0);
        witness.message("~/will", "gone");
    }

    /// A client that starts clean ends the session, so the will that waits is published at once.
    [v5]
    fn a_clean_start_ends_the_delay(t) {
        let mut witness = witness(t);
        leaves_will(t, "s", 1000, 1000);
        witness.quiet();
        t.client("s").pinged();
        witness.message("~/will", "gone");
    }

    /// A takeover that goes on with the session has no will published that waits; one that starts clean has.
    [v5]
    fn delay_and_takeover(t) {
        let mut witness = witness(t);
        for (flags, published) in [("00", false), ("02", true)] {
            let will = r#"{18 000003e8} "~/will" "gone""#;
            let mut old = t.client_with("s", "06", "11 000003e8", will);
            let mut new = t.open();
            new.send(&connect(t.version, "s", flags, "11 000003e8", ""));
            new.packet();
            old.refused(0x8E);
            if published {
                witness.message("~/will", "gone");
            }
            witness.quiet();
            new.disconnect();
        }
    }

    /// A DISCONNECT with a will ends the delay, too, if it ends the session.
    [v5]
    fn disconnect_ends_the_delay(t) {
        let mut witness = witness(t);
        let mut client = with_will(t, "s", 1000, 1000);
        client.send("e0 <04 {11 00000000}>");
        client.closed();
        witness.message("~/will", "gone");
        // And without a will, there is none.
        let mut client = with_will(t, "s", 1000, 1000);
        client.send("e0 <00 {11 00000000}>");
        client.closed();
        witness.quiet();
    }

    /// A DISCONNECT within the delay forgets no will of an earlier connection that was published, and leaves none.
    [v5]
    fn back_and_gone_in_good_order(t) {
        let mut witness = witness(t);
        leaves_will(t, "s", 2, 1000);
        t.returns("s").disconnect();
        witness.silent_for(A_SECOND_PAST * 3 / 2);
    }

    /// The lifetime of a will's message begins when it is published.
    [v5]
    fn the_lifetime_of_a_will(t) {
        let mut witness = witness(t);
        let will = r#"{18 00000003  02 00000064} "~/will" "gone""#;
        t.client_with("s", "06", "11 000003e8", will).vanish();
        let message = witness.message("~/will", "gone");
        let left = message.number(0x02).expect("it has a lifetime");
        assert!((98..=100).contains(&left), "{message:?}");
        assert!(message.property(0x18).is_none(), "{message:?}");
    }

    /// A message whose lifetime is over while it waits in a queue is not delivered, and another one has what is left.
    [v5, v311]
    fn in_the_queue(t) {
        let mut client = t.stays("s");
        client.subscribe("~/t", 2);
        client.disconnect();
        let mut publisher = t.client_as(V5, "p");
        for qos in [1, 2] {
            publisher.publish_with("~/t", qos << 1, "02 00000001", "short");
            publisher.publish_with("~/t", qos << 1, "02 00000064", "long");
            publisher.publish_with("~/t", qos << 1, "", "for ever");
        }
        sleep(A_SECOND_PAST);
        let mut client = t.returns("s");
        for _ in [1, 2] {
            let message = client.message("~/t", "long");
            if t.is_v5() {
                let left = message.number(0x02).expect("it has a lifetime");
                assert!((60..=98).contains(&left), "{message:?}");
            }
            let message = client.message("~/t", "for ever");
            assert!(message.property(0x02).is_none(), "{message:?}");
        }
        client.quiet();
    }

    /// A retained message whose lifetime is over is not sent to new subscriptions.
    [v5, v311]
    fn retained(t) {
        let mut publisher = t.client_as(V5, "p");
        publisher.publish_with("~/short", 1 | 2, "02 00000001", "short");
        publisher.publish_with("~/long", 1 | 2, "02 00000064", "long");
        sleep(A_SECOND_PAST);
        let mut late = t.client("l");
        late.subscribe("~/#", 0);
        let message = late.message("~/long", "long");
        if t.is_v5() {
            let left = message.number(0x02).expect("it has a lifetime");
            assert!((60..=98).contains(&left), "{message:?}");
        }
        late.quiet();
    }

    /// A message that waits for its turn behind the receive maximum expires there, too.
    [v5]
    fn behind_the_receive_maximum(t) {
        let mut client = t.client_with("a", "02", "21 0001", "");
        client.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "first");
        publisher.publish_with("~/t", 2, "02 00000001", "short");
        publisher.publish("~/t", 1, "last");
        let first = client.message("~/t", "first");
        sleep(A_SECOND_PAST);
        client.acknowledge(&first);
        client.message("~/t", "last");
    }

    /// A session of 3.1.1 has no end: it is there after any client of 5.0 has seen its own end.
    [v311]
    fn sessions_of_3_1_1_stay(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "s", "00", "", ""));
        client.expect("20 <00 00>");
        client.subscribe("~/t", 1);
        client.vanish();
        sleep(A_SECOND_PAST);
        t.client("p").publish("~/t", 1, "waits");
        t.returns("s").message("~/t", "waits");
    }
}

fn witness(t: &Test) -> Client {
    let mut witness = t.client("w");
    witness.subscribe("~/will", 0);
    witness
}

/// A client with a will that waits `delay` seconds, and a session that lasts so many.
fn with_will(t: &Test, id: &str, delay: u32, session: u32) -> Client {
    let will = format!(r#"{{18 {delay:08x}}} "~/will" "gone""#);
    t.client_with(id, "06", &format!("11 {session:08x}"), &will)
}

/// The same, and it has vanished.
fn leaves_will(t: &Test, id: &str, delay: u32, session: u32) {
    with_will(t, id, delay, session).vanish();
}
