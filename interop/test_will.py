"""The will: published when the connection breaks, and only then."""

import time

from paho_peer import Paho
from peer import END, Message, Will, new_client_id
from peers import ALL, VERSIONS, each

WATCHER = Paho("5")


@each("peer", ALL)
def test_lost_connection_publishes_the_will(listen, topic, peer):
    watcher = listen(WATCHER, topic)
    client = listen(peer, will=Will(topic, b"gone", qos=1))
    client.drop()
    assert watcher.wait(1) == [Message(topic, b"gone", 1, False)]


@each("peer", ALL)
def test_retained_will_stays(listen, publish, topic, peer):
    watcher = listen(WATCHER, topic)
    client = listen(peer, will=Will(topic, b"gone", qos=2, retain=True))
    client.drop()
    assert watcher.wait(1) == [Message(topic, b"gone", 2, False)]
    late = listen(WATCHER, topic)
    assert late.wait(1) == [Message(topic, b"gone", 2, True)]
    publish(WATCHER, topic, [b""], retain=True)


@each("peer", ALL)
def test_disconnect_discards_the_will(listen, publish, topic, peer):
    """Unless it asks for it, with reason 0x04."""
    watcher = listen(WATCHER, topic)
    client_id = new_client_id()
    listen(peer, client_id=client_id, will=Will(topic, b"gone")).close()
    # The same id connects again: by its CONNACK the broker has dealt with the first connection.
    listen(peer, client_id=client_id)
    publish(WATCHER, topic, [END], qos=1)
    expected = [Message(topic, b"gone", 1, False)] if peer.wills_on_close else []
    assert watcher.until_end() == expected


def test_silence_publishes_the_will(listen, topic):
    """A client that sends nothing for one and a half keep-alive intervals is dead. [MQTT-3.1.2-22]"""
    watcher = listen(WATCHER, topic)
    for version in VERSIONS:
        listen(Paho(version), will=Will(topic, version.encode()), keep_alive_s=1).go_silent()
    assert sorted(message.payload for message in watcher.wait(3)) == [b"3.1", b"3.1.1", b"5"]


def test_pings_keep_an_idle_connection(listen, topic):
    """Paho pings at each keep-alive interval. Three of them pass."""
    watcher = listen(WATCHER, topic)
    for version in VERSIONS:
        listen(Paho(version), will=Will(topic, version.encode()), keep_alive_s=1)
    time.sleep(3)
    assert watcher.messages() == []
