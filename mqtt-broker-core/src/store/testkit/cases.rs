//! Named cases: a sentence of the documentation each.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use mqtt_codec::SubscriptionOptions;

use super::changes::{
    delete_delivery, delete_received, delete_retained, filter, message, put_delivery, put_received,
    put_retained, put_session, put_subscription, release, session_with_everything, topic,
};
use super::{Kit, Restart, Subject, batch, contents, join_all, poll_once, yield_now};
use crate::ClientId;
use crate::store::{Change, Model, SessionStore, SubscriptionRecord};

pub(super) async fn run(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    everything_comes_back(kit).await;
    changes_apply_in_order(kit).await;
    a_record_is_replaced_alone(kit).await;
    a_session_takes_all_that_is_its(kit).await;
    prefixes_are_other_keys(kit).await;
    sequence_numbers_are_numbers(kit).await;
    one_message_for_many_sessions(kit).await;
    batches_of_all_sizes(kit).await;
    any_place_to_go_on_from(kit).await;
    a_commit_that_is_dropped(kit).await;
    disjoint_commits_at_the_same_time(kit).await;
    opening_again(kit).await;
}

async fn everything_comes_back(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    let mut subject = kit.subject("every field comes back as it was").await;
    subject
        .commit_and_check(session_with_everything("a").changes)
        .await;
    subject.restart().await;
    let mut changes = vec![put_session("sub")];
    for byte in 0..=u8::MAX {
        let Ok(options) = SubscriptionOptions::from_byte(byte) else {
            continue;
        };
        changes.push(Change::PutSubscription {
            client: ClientId::new("sub"),
            filter: filter(&format!("{byte}/#")),
            subscription: SubscriptionRecord {
                options,
                identifier: NonZeroU32::new(u32::from(byte) * 1_000_000),
            },
        });
    }
    subject.commit_and_check(changes).await;
    subject.restart().await;
}

async fn changes_apply_in_order(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    let mut subject = kit.subject("changes apply in their order").await;
    subject
        .commit_and_check([
            put_session("a"),
            put_subscription("a", "t", 1),
            put_delivery("a", 1, &message("t", "old")),
            Change::DeleteSession {
                client: ClientId::new("a"),
            },
            put_session("a"),
            put_delivery("a", 1, &message("t", "new")),
            put_delivery("a", 2, &message("t", "done")),
            delete_delivery("a", 2),
            put_delivery("a", 3, &message("t", "released")),
            release("a", 3),
            put_received("a", 7),
            delete_received("a", 7),
            put_received("a", 8),
            put_subscription("a", "u", 1),
            put_subscription("a", "u", 2),
            put_retained(&message("r", "1")),
            put_retained(&message("r", "2")),
            put_retained(&message("s", "1")),
            delete_retained("s"),
        ])
        .await;
    subject
        .commit_and_check([
            delete_received("a", 8),
            put_received("a", 8),
            delete_retained("r"),
            put_retained(&message("r", "3")),
            Change::DeleteSubscription {
                client: ClientId::new("a"),
                filter: filter("u"),
            },
            put_subscription("a", "u", 3),
        ])
        .await;
    subject.restart().await;
}

async fn a_record_is_replaced_alone(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    let case = "a session's record is replaced without what belongs to the session";
    let mut subject = kit.subject(case).await;
    subject.commit(session_with_everything("a").changes).await;
    subject.commit_and_check([put_session("a")]).await;
    subject.restart().await;
}

async fn a_session_takes_all_that_is_its(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    let case = "the end of a session takes all that is its, and nothing else";
    let mut subject = kit.subject(case).await;
    for client in ["a", "ab", "b"] {
        subject
            .commit(session_with_everything(client).changes)
            .await;
    }
    let delete = |client| Change::DeleteSession {
        client: ClientId::new(client),
    };
    subject.commit_and_check([delete("a")]).await;
    subject.restart().await;
    subject.commit_and_check([put_session("a")]).await;
    subject
        .commit_and_check([delete("ab"), put_session("ab"), put_received("ab", 9)])
        .await;
    subject.restart().await;
    // A batch may end a session that it has made.
    subject
        .commit_and_check([put_session("c"), put_subscription("c", "t", 1), delete("c")])
        .await;
}

async fn prefixes_are_other_keys(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    let mut subject = kit.subject("a key is not its prefix").await;
    let long = "x".repeat(60_000);
    let keys = ["a", "ab", "a/", "a/b", "a\u{1}", "é", "a\u{10FFFF}", &long];
    for key in keys {
        subject
            .commit([
                put_session(key),
                put_subscription(key, "a", 1),
                put_subscription(key, "ab", 2),
                put_subscription(key, "a/#", 3),
                put_subscription(key, "$share/g/a", 4),
                put_delivery(key, 1, &message("a", key)),
                put_delivery(key, 2, &message("ab", key)),
                put_received(key, 1),
                put_received(key, 0x0101),
                put_retained(&message(key, "kept")),
            ])
            .await;
    }
    subject.check().await;
    subject.restart().await;
    subject
        .commit_and_check([
            Change::DeleteSubscription {
                client: ClientId::new("a"),
                filter: filter("a"),
            },
            delete_delivery("a", 1),
            delete_received("a", 1),
            delete_retained("a"),
            delete_retained("a/"),
        ])
        .await;
    subject.restart().await;
}

async fn sequence_numbers_are_numbers(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    let mut subject = kit.subject("deliveries are in the order of numbers").await;
    let seqs = [
        1,
        2,
        9,
        10,
        255,
        256,
        65_535,
        65_536,
        u64::from(u32::MAX),
        1 << 32,
        u64::MAX - 1,
    ];
    subject.commit([put_session("a")]).await;
    // In the worst order.
    for seq in seqs.into_iter().rev() {
        let message = message("t", &seq.to_string());
        subject.commit([put_delivery("a", seq, &message)]).await;
    }
    subject.check().await;
    for seq in [65_536, 1, u64::MAX - 1] {
        subject
            .commit_and_check([release("a", seq), delete_delivery("a", seq)])
            .await;
    }
    subject.commit_and_check([release("a", 256)]).await;
    subject.restart().await;
}

async fn one_message_for_many_sessions(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    let mut subject = kit.subject("one message for many sessions").await;
    let message = message("t", &"shared".repeat(1000));
    let clients: Vec<_> = (0..100).map(|number| format!("client {number}")).collect();
    let deliver = |client: &String| [put_session(client), put_delivery(client, 1, &message)];
    let changes = clients.iter().flat_map(deliver);
    subject
        .commit_and_check(changes.chain([put_retained(&message)]))
        .await;
    subject.restart().await;
    // Each lets go of it alone, in one way or the other.
    for (number, client) in clients.iter().enumerate() {
        let client_id = ClientId::new(client);
        let change = match number % 4 {
            0 => delete_delivery(client, 1),
            1 => Change::DeleteSession { client: client_id },
            2 => release(client, 1),
            _ => continue,
        };
        subject.commit([change]).await;
    }
    subject.commit_and_check([delete_retained("t")]).await;
    subject.restart().await;
    // It comes again, in a batch of its own.
    let there = clients.iter().enumerate().filter(|(at, _)| at % 4 != 1);
    subject
        .commit_and_check(there.map(|(_, client)| put_delivery(client, 2, &message)))
        .await;
    subject.restart().await;
}

async fn batches_of_all_sizes(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    let mut subject = kit.subject("batches and messages of all sizes").await;
    subject.commit_and_check([]).await;
    let mut large: Vec<_> = vec![put_session("a")];
    large.extend((1..10_000).map(|seq| put_delivery("a", seq, &message("t", &seq.to_string()))));
    subject.commit(large).await;
    let payload = "x".repeat(1024 * 1024);
    subject
        .commit([put_delivery("a", 10_000, &message("t", &payload))])
        .await;
    subject.commit([]).await;
    subject.check().await;
    subject.restart().await;
    subject
        .commit_and_check((1..10_000).map(|seq| delete_delivery("a", seq)))
        .await;
    subject.restart().await;
}

async fn any_place_to_go_on_from(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    let mut subject = kit
        .subject("a page begins behind any key, there or not")
        .await;
    for key in ["b", "bb", "d"] {
        subject
            .commit([put_session(key), put_retained(&message(key, "kept"))])
            .await;
    }
    for seq in [2, 4, 5] {
        subject
            .commit([put_delivery("b", seq, &message("t", "x"))])
            .await;
    }
    let (store, model) = (subject.store(), &subject.model);
    for after in ["a", "b", "ba", "bb", "bbb", "c", "d", "e"] {
        let topic = topic(after);
        let found = store.retained(Some(&topic), 2).await;
        let found = found.expect("retained messages can be read");
        assert_eq!(
            found,
            model.retained(Some(&topic), 2),
            "retained messages after {after}"
        );
    }
    for after in (0..7).chain([u64::MAX]) {
        let client = ClientId::new("b");
        let found = store.deliveries(&client, Some(after), 2).await;
        let found = found.expect("deliveries can be read");
        assert_eq!(
            found,
            model.deliveries(&client, Some(after), 2),
            "deliveries after {after}"
        );
    }
}

/// Each client commits batch after batch, all clients at once.
async fn disjoint_commits_at_the_same_time(
    kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>,
) {
    const BATCHES: u64 = 20;
    let mut subject = kit.subject("disjoint commits at the same time").await;
    let clients: Vec<_> = (0..8).map(|number| format!("client {number}")).collect();
    let changes = |client: &str, round: u64| {
        let mut changes = vec![put_session(client)];
        for seq in round * 10 + 1..=round * 10 + 10 {
            changes.push(put_delivery(client, seq, &message("t", &seq.to_string())));
        }
        if round > 0 {
            changes.push(delete_delivery(client, round * 10));
        }
        changes.push(put_retained(&message(client, &round.to_string())));
        changes
    };
    let store = subject.store();
    let write = |client: String| async move {
        for round in 0..BATCHES {
            let committed = store.commit(batch(changes(&client, round))).await;
            assert!(committed.is_ok(), "{client}: {committed:?}");
            // Reading goes on meanwhile, and sees what is committed.
            let client = ClientId::new(&client);
            let page = store.deliveries(&client, Some(round * 10), 100).await;
            assert_eq!(page.map(|page| page.len()).ok(), Some(10), "{client}");
        }
    };
    let writers = clients.iter().cloned();
    join_all(writers.map(|client| Box::pin(write(client)) as _).collect()).await;
    for client in &clients {
        for round in 0..BATCHES {
            for change in changes(client, round) {
                subject.model.apply(change);
            }
        }
    }
    subject.check().await;
    subject.restart().await;
}

/// Dropped after any number of steps, a commit leaves all of its batch or nothing.
async fn a_commit_that_is_dropped(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    for polls in [0, 1, 1, 2, 3, 5] {
        let case = format!("a commit that is dropped after {polls} polls");
        let mut subject = kit.subject(&case).await;
        subject.commit(session_with_everything("a").changes).await;
        let large = (2..200).map(|seq| put_delivery("b", seq, &message("t", "x")));
        let dropped: Vec<_> = session_with_everything("b")
            .changes
            .into_iter()
            .chain(large.clone().skip(100))
            .chain([
                put_session("c"),
                Change::DeleteSession {
                    client: ClientId::new("a"),
                },
            ])
            .collect();
        let mut done = false;
        {
            let mut commit = subject.store().commit(batch(dropped.clone()));
            for _ in 0..polls {
                if !done && let Poll::Ready(committed) = poll_once(commit.as_mut()) {
                    assert!(committed.is_ok(), "{case}: {committed:?}");
                    done = true;
                }
                yield_now().await;
            }
        }
        // It may still be under way; what follows is behind it.
        subject.commit([put_session("d")]).await;
        if kit.restart == Restart::Keeps {
            subject.reopen().await;
        }
        let without = contents::of_model(&subject.model);
        for change in dropped {
            subject.model.apply(change);
        }
        let with = contents::of_model(&subject.model);
        all_or_nothing(&subject, done, &without, &with).await;
    }
}

async fn all_or_nothing<F: AsyncFn(&Path) -> Arc<dyn SessionStore>>(
    subject: &Subject<'_, F>,
    done: bool,
    without: &contents::Contents,
    with: &contents::Contents,
) {
    // A store that goes on by itself may apply it while it is read.
    for _ in 0..1000 {
        let found = contents::read(subject.store(), 50, &subject.case).await;
        if found == *with || (found == *without && !done) {
            return;
        }
        yield_now().await;
    }
    panic!("{}: it is there in part", subject.case);
}

async fn opening_again(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    let mut subject = kit.subject("opening again where a store has been").await;
    for round in 0..5 {
        subject
            .commit(session_with_everything(&format!("client {round}")).changes)
            .await;
        subject.reopen().await;
        if kit.restart == Restart::Forgets {
            subject.model = Model::default();
        }
        subject.check().await;
    }
}
