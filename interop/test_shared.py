"""Shared subscriptions: each message goes to one member of the group."""

from collections import Counter

from paho_peer import Paho
from peer import END, new_client_id
from peers import ALL, each, each_qos

SENT = [b"%d" % number for number in range(300)]
PUBLISHER = Paho("5")
PEERS = [peer for peer in ALL if peer.version != "3.1"]


def join(listen, peer, group, topic, qos, **options):
    """A member of the group. It also subscribes, for itself, to the topic of the end."""
    return listen(peer, f"$share/{group}/{topic}", f"{topic}/end", qos=qos, **options)


def send(listen, topic, qos):
    """One connection publishes both, or the end could overtake the messages."""
    publisher = listen(PUBLISHER)
    publisher.publish(topic, SENT, qos=qos)
    publisher.publish(f"{topic}/end", [END], qos=qos)


def assert_shared(members):
    """Every message came to one member, once, and to each member some, in order."""
    received = [[message.payload for message in member.until_end()] for member in members]
    assert Counter(payload for payloads in received for payload in payloads) == Counter(SENT)
    for payloads in received:
        assert payloads and payloads == sorted(payloads, key=int)


@each_qos
@each("peer", PEERS)
def test_three_members_share(listen, topic, peer, qos):
    members = [join(listen, peer, "g", topic, qos) for _ in range(3)]
    send(listen, topic, qos)
    assert_shared(members)


@each_qos
def test_members_of_all_libraries_share(listen, topic, qos):
    members = [join(listen, peer, "g", topic, qos) for peer in PEERS]
    send(listen, topic, qos)
    assert_shared(members)


def test_groups_and_plain_subscribers_get_all_each(listen, topic):
    first = [join(listen, peer, "first", topic, 1) for peer in PEERS[:3]]
    second = [join(listen, peer, "second", topic, 1) for peer in PEERS[3:]]
    plain = listen(PUBLISHER, topic, f"{topic}/end", qos=1)
    send(listen, topic, 1)
    assert_shared(first)
    assert_shared(second)
    assert [message.payload for message in plain.until_end()] == SENT


@each("peer", PEERS)
def test_remaining_member_takes_over(listen, topic, peer):
    client_id = new_client_id()
    leaving = join(listen, peer, "g", topic, 1, client_id=client_id)
    staying = join(listen, peer, "g", topic, 1)
    leaving.drop()
    # The same id connects again: by its CONNACK the broker has ended the lost session.
    listen(peer, client_id=client_id)
    send(listen, topic, 1)
    assert_shared([staying])
