"""Retained messages: kept, replayed, replaced, cleared."""

from paho_peer import Paho
from peer import END, Message
from peers import ALL, each, each_pair, each_qos

TOPICS = 500


@each_qos
@each_pair
def test_last_message_greets_new_subscribers(listen, publish, topic, publisher, subscriber, qos):
    early = listen(subscriber, topic)
    publish(publisher, topic, [b"old"], qos=qos, retain=True)
    publish(publisher, topic, [b"new"], qos=qos, retain=True)
    publish(publisher, topic, [END], qos=qos)
    # [MQTT-3.3.1-9]: to a subscription that was there already the flag is not passed on.
    assert early.until_end() == [Message(topic, b"old", qos, False), Message(topic, b"new", qos, False)]

    late = listen(subscriber, topic)
    assert late.wait(1) == [Message(topic, b"new", qos, True)]


@each_pair
def test_empty_payload_clears(listen, publish, topic, publisher, subscriber):
    publish(publisher, topic, [b"kept"], qos=1, retain=True)
    early = listen(subscriber, topic)
    assert early.wait(1) == [Message(topic, b"kept", 1, True)]

    publish(publisher, topic, [b""], qos=1, retain=True)
    assert early.wait(2)[1] == Message(topic, b"", 1, False)
    late = listen(subscriber, topic)
    publish(publisher, topic, [END], qos=1)
    assert late.until_end() == []


@each("subscriber", ALL)
def test_wildcard_replays_every_topic(listen, topic, subscriber):
    publisher = listen(Paho("5"))
    expected = {f"{topic}/{number}": b"%d" % number for number in range(TOPICS)}
    for name, payload in expected.items():
        publisher.publish(name, [payload], qos=1, retain=True)

    client = listen(subscriber, f"{topic}/#", qos=1)
    received = client.wait(TOPICS)
    assert {message.topic: message.payload for message in received} == expected
    assert len(received) == TOPICS and all(message.retain for message in received)
    for name in expected:
        publisher.publish(name, [b""], retain=True)
