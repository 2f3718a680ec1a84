"""Sessions that outlive their connection, and connections that take over a session."""

import threading

import pytest

from paho_peer import Paho
from peer import END, new_client_id
from peers import ALL, each

PUBLISHER = Paho("5")
REPORTING = [peer for peer in ALL if peer.reports_disconnect]

each_stored_qos = pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])


@each_stored_qos
@each("peer", ALL)
def test_dropped_client_finds_what_came_meanwhile(listen, publish, topic, peer, qos):
    client = listen(peer, topic, qos=qos, persistent=True)
    assert not client.session_present
    client.drop()
    sent = [b"%d" % number for number in range(50)]
    publish(PUBLISHER, topic, sent, qos=qos)

    client.resume()
    assert client.session_present in (True, None)
    publish(PUBLISHER, topic, [END], qos=qos)
    assert [message.payload for message in client.until_end()] == sent


@each("peer", ALL)
def test_clean_start_forgets_the_session(listen, publish, topic, peer):
    client_id = new_client_id()
    listen(peer, topic, qos=1, client_id=client_id, persistent=True).close()
    publish(PUBLISHER, topic, [b"forgotten"], qos=1)

    fresh = listen(peer, topic, qos=1, client_id=client_id)
    assert not fresh.session_present
    publish(PUBLISHER, topic, [END], qos=1)
    assert fresh.until_end() == []


@each_stored_qos
@each("peer", REPORTING)
def test_drop_amid_a_stream_loses_nothing(listen, publish, topic, peer, qos):
    """QoS 2 comes exactly once even so. QoS 1 may come again, but first times are in order."""
    client = listen(peer, topic, qos=qos, persistent=True)
    sent = [b"%d" % number for number in range(2000)]
    stream = threading.Thread(target=publish, args=(PUBLISHER, topic, sent + [END]), kwargs={"qos": qos, "seconds": 30})
    stream.start()
    for count in (100, 500, 1000):
        client.wait(count)
        client.drop()
        client.resume()
        assert client.session_present in (True, None)
    stream.join()
    client.until_end()
    received = [payload for payload in client.payloads() if payload != END]
    if qos == 1:
        received = list(dict.fromkeys(received))
    assert received == sent


@each("second", ALL)
@each("first", REPORTING)
def test_second_connection_takes_over(listen, publish, topic, first, second):
    client_id = new_client_id()
    old = listen(first, topic, qos=1, client_id=client_id, persistent=True)
    new = listen(second, topic, qos=1, client_id=client_id, persistent=True)
    # [MQTT-3.1.4-3]; before MQTT 5 a broker could not say why.
    assert old.wait_closed() == (0x8E if first.version == "5" else None)
    assert new.session_present in (True, None)
    publish(PUBLISHER, topic, [END], qos=1)
    assert new.until_end() == []
    assert old.messages() == []
    # Leave nothing behind.
    listen(second, client_id=client_id)
