//! Packets that come one behind the other: they are handled together, and it comes to the same.

use mqtt_broker_core::Limits;
use mqtt_codec::{QoS, SubscriptionOptions};

use crate::world::{Post, World, post, v5, v31, v311};
use crate::{Q0, Q1, Q2};

const SUBSCRIBERS: usize = 12;

/// A publisher, and subscribers of all kinds.
fn world() -> World {
    let mut world = World::with(Limits {
        queue_messages_max: 40,
        queue_page: 20,
        topic_levels_max: 4,
        ..Limits::default()
    });
    world.connect("publisher", v5()).subscribe("echo/#", Q1);
    let kinds = [
        v5(),
        v311(),
        v31().stays(),
        v5().receive_maximum(2),
        v5().stays().receive_maximum(1),
        v5().packet_bytes_max(16),
        v5().topic_alias_maximum(1),
        v5().stays().packet_bytes_max(16),
    ];
    for at in 0..SUBSCRIBERS {
        let qos = QoS::from_number((at % 3) as u8).unwrap();
        let options = SubscriptionOptions {
            retain_as_published: at % 2 == 0,
            ..SubscriptionOptions::of_qos(qos)
        };
        let identifier = (at % 5 == 4).then_some(7);
        let filter = ["t", "+", "#", "$share/g/t", "u"][at % 5];
        let kind = kinds[at % kinds.len()].clone();
        let subscriber = world
            .connect(&at.to_string(), kind)
            .subscribe_all(&[(filter, options)], identifier);
        if at % 7 == 6 {
            subscriber.subscribe("t", Q2);
        }
    }
    world
        .connect("away", v5().stays())
        .subscribe("t", Q2)
        .lose();
    world
}

fn random_post(random: &mut fastrand::Rng, number: usize) -> Post {
    let topic = ["t", "t", "t", "u", "echo/t", "nobody"][random.usize(0..6)];
    let payload = format!(
        "{number}{}",
        ".".repeat(random.usize(0..4) * random.usize(0..4))
    );
    let qos = [Q0, Q0, Q1, Q1, Q2][random.usize(0..5)];
    let post = post(topic, payload).qos(qos);
    match random.u8(0..20) {
        0 => post.retain(),
        1 => post.expiry(100),
        2 => post.user("a", "b"),
        3 => post.alias(1),
        _ => post,
    }
}

/// What came to the subscribers, and the answers that the publisher got.
fn outcome(world: &mut World) -> Vec<Vec<String>> {
    let mut logs = vec![world.packets("publisher")];
    logs[0].retain(|line| !line.starts_with("PUBCOMP"));
    logs[0].sort_by_key(|line| line.starts_with("PUBLISH"));
    logs.extend((0..SUBSCRIBERS).map(|at| world.received(&at.to_string())));
    world.connect("away", v5().stays());
    logs.push(world.received("away"));
    logs
}

// [MQTT-4.6.0-5] [MQTT-4.6.0-6] [MQTT-3.1.2-24]
#[test]
fn a_run_comes_to_the_same_as_each_by_itself() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let posts: Vec<_> = (0..100)
            .map(|number| random_post(&mut random, number))
            .collect();
        let (mut together, mut alone) = (world(), world());
        let publisher = together.find("publisher").unwrap();
        for burst in posts.chunks(10) {
            for post in burst {
                together.clients[publisher].publish(post.clone());
                alone.publish("publisher", post.clone());
            }
            together.run();
        }
        let (one, other) = (outcome(&mut together), outcome(&mut alone));
        for (at, (one, other)) in one.iter().zip(&other).enumerate() {
            assert_eq!(one, other, "seed {seed}, log {at}");
        }
    }
}

/// What breaks a rule ends a run; what came before it counts.
#[test]
fn what_came_before_a_violation_is_published() {
    let mut world = world();
    let publisher = world.find("publisher").unwrap();
    for topic in ["t", "t", "a/b/c/d/e", "t"] {
        world.clients[publisher].publish(post(topic, "x"));
    }
    assert_eq!(world.received("0").len(), 2);
    assert!(!world.is_connected(publisher));
}
