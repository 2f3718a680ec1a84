"""Messages of every size and quality, between every two libraries and versions."""

import hashlib
import random
import threading

from peer import END, Message
from peers import ALL, each, each_pair, each_qos

BURST = 20_000


@each("subscriber", ALL)
@each("publisher", ALL)
def test_quality_is_the_lower_of_both(listen, publish, topic, publisher, subscriber):
    for granted in (0, 1, 2):
        client = listen(subscriber, f"{topic}/{granted}", qos=granted)
        for sent in (0, 1, 2):
            publish(publisher, f"{topic}/{granted}", [b"%d" % sent], qos=sent)
        expected = [Message(f"{topic}/{granted}", b"%d" % sent, min(sent, granted), False) for sent in (0, 1, 2)]
        assert sorted(client.wait(3), key=lambda message: message.payload) == expected


@each_qos
@each_pair
def test_burst_is_complete_and_in_order(listen, publish, topic, publisher, subscriber, qos):
    client = listen(subscriber, topic, qos=qos)
    sent = [b"%d" % number for number in range(BURST)]
    publish(publisher, topic, sent + [END], qos=qos, seconds=60)
    assert [message.payload for message in client.until_end(seconds=60)] == sent


@each_qos
@each_pair
def test_payload_of_one_mebibyte(listen, publish, topic, publisher, subscriber, qos):
    client = listen(subscriber, topic, qos=qos)
    payload = random.Random(qos).randbytes(1 << 20)
    publish(publisher, topic, [payload], qos=qos)
    received = client.wait(1)[0].payload
    assert hashlib.sha256(received).hexdigest() == hashlib.sha256(payload).hexdigest()


@each_qos
def test_all_libraries_and_versions_on_one_topic(listen, publish, topic, qos):
    """Nine publish at once and nine listen: all see all messages, and all in the same order."""
    clients = {str(peer): listen(peer, topic, qos=qos) for peer in ALL}
    sent = {str(peer): [b"%s %d" % (str(peer).encode(), number) for number in range(100)] for peer in ALL}

    threads = [
        threading.Thread(target=publish, args=(peer, topic, sent[str(peer)] + [END]), kwargs={"qos": qos}) for peer in ALL
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    orders = {}
    for name, client in clients.items():
        orders[name] = [message.payload for message in client.until_end(ends=len(ALL))]
        for publisher, payloads in sent.items():
            assert [payload for payload in orders[name] if payload.startswith(publisher.encode() + b" ")] == payloads, name
    first = orders[str(ALL[0])]
    assert [name for name, order in orders.items() if order != first] == []
