"""What MQTT 5 adds: properties from end to end, subscription options, requests with answers."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mosquitto_peer import run
from mqttjs_peer import MqttJs, grouped
from paho_peer import Paho
from peer import END, Message, Properties
from peers import ALL, V5, each

PAHO, MQTTJS = Paho("5"), MqttJs("5")

USER = (("unit", "C"), ("site", "north"), ("unit", "F"), ("empty", ""), ("caf\u00e9", "\u2615"))


@each("subscriber", V5)
@each("publisher", V5)
def test_properties_arrive_as_sent(listen, publish, topic, publisher, subscriber):
    sent = Properties(
        content_type="application/json",
        response_topic=f"{topic}/answers",
        correlation_data=b"number 7",
        payload_format=1,
        expiry_s=600,
        user=USER,
    )
    client = listen(subscriber, topic, qos=1)
    publish(publisher, topic, [b"{}"], qos=1, properties=sent)
    received = client.wait(1)[0].properties

    assert received.content_type == sent.content_type
    assert received.response_topic == sent.response_topic
    assert received.correlation_data == sent.correlation_data
    assert received.payload_format == 1
    assert 595 <= received.expiry_s <= 600
    assert received.topic_alias is None and received.subscription_ids == ()
    if any(peer.library.startswith("mqttjs") for peer in (publisher, subscriber)):
        assert grouped(received.user) == grouped(sent.user)
    else:
        assert received.user == sent.user


@each("subscriber", ALL)
def test_properties_stay_behind_for_older_versions(listen, publish, topic, subscriber):
    """A subscriber of any version gets the message; an older one gets it without what it cannot read."""
    client = listen(subscriber, topic, qos=1)
    publish(PAHO, topic, [b"1"], qos=1, properties=Properties(content_type="text/plain", user=USER))
    assert client.wait(1) == [Message(topic, b"1", 1, False)]
    assert (client.messages()[0].properties == Properties()) == (subscriber.version != "5")


def test_expired_message_is_not_delivered(listen, publish, topic):
    """What waited too long is gone; from the rest the waiting is taken off. [MQTT-3.3.2-5], [MQTT-3.3.2-6]"""
    clients = [listen(peer, topic, qos=1, persistent=True) for peer in V5]
    for client in clients:
        client.drop()
    publish(PAHO, topic, [b"short"], qos=1, properties=Properties(expiry_s=1))
    publish(PAHO, topic, [b"long"], qos=1, properties=Properties(expiry_s=600))
    time.sleep(2.5)
    for client in clients:
        client.resume()
    publish(PAHO, topic, [END], qos=1)
    for client in clients:
        (message,) = client.until_end()
        assert message.payload == b"long" and 590 <= message.properties.expiry_s <= 598, client


@each("responder", V5)
def test_request_finds_its_answer(listen, address, publish, topic, responder):
    """mosquitto_rr asks; the other library answers where it was told to, with the asker's mark."""
    client = listen(responder, topic, qos=1)
    options = ["-t", topic, "-e", f"{topic}/answers", "-q", "1", "-m", "question", "-D", "publish", "correlation-data", "mark"]
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(run, "mosquitto_rr", address, "5", options)
        request = client.wait(1)[0]
        answer_to, mark = request.properties.response_topic, request.properties.correlation_data
        publish(responder, answer_to, [b"answer"], qos=1, properties=Properties(correlation_data=mark))
        assert asked.result() == b"answer\n"
    assert (request.payload, answer_to, mark) == (b"question", f"{topic}/answers", b"mark")


@each("subscriber", ALL)
def test_topic_alias_is_between_publisher_and_broker(listen, topic, subscriber):
    publisher = listen(PAHO)
    if publisher.topic_alias_maximum == 0:
        pytest.skip("the broker takes no topic aliases")
    client = listen(subscriber, topic, qos=1)
    publisher.publish(topic, [b"1"], qos=1, properties=Properties(topic_alias=1))
    publisher.publish("", [b"2", b"3"], qos=1, properties=Properties(topic_alias=1))
    received = client.wait(3)
    assert received == [Message(topic, payload, 1, False) for payload in (b"1", b"2", b"3")]
    assert all(message.properties.topic_alias is None for message in received)


def test_subscription_identifiers(listen, publish, topic):
    """Overlapping subscriptions: the message tells all that matched, whether in one copy or in several. [MQTT-3.3.4-3]"""
    paho, mqttjs = listen(PAHO), listen(MQTTJS)
    paho.subscribe(topic, identifier=7)
    paho.subscribe(f"{topic}/#", identifier=300)
    mqttjs.subscribe(topic, properties={"subscriptionIdentifier": 7})
    mqttjs.subscribe(f"{topic}/#", properties={"subscriptionIdentifier": 300})
    publish(PAHO, topic, [b"1", END], qos=1)
    for client in (paho, mqttjs):
        ids = [number for message in client.until_end() for number in message.properties.subscription_ids]
        assert sorted(ids) == [7, 300], client


def test_no_local_keeps_own_messages_away(listen, topic):
    paho, mqttjs = listen(PAHO), listen(MQTTJS)
    paho.subscribe(topic, noLocal=True)
    mqttjs.subscribe(topic, nl=True)
    paho.publish(topic, [b"from paho", END], qos=1)
    mqttjs.publish(topic, [b"from mqttjs", END], qos=1)
    assert [message.payload for message in paho.until_end()] == [b"from mqttjs"]
    assert [message.payload for message in mqttjs.until_end()] == [b"from paho"]


def test_retain_as_published_and_retain_handling(listen, publish, topic):
    publish(PAHO, topic, [b"old"], qos=1, retain=True)
    paho, mqttjs = listen(PAHO), listen(MQTTJS)
    # Retain handling 2: do not send what was kept.
    paho.subscribe(topic, retainAsPublished=True, retainHandling=2)
    mqttjs.subscribe(topic, rap=True, rh=2)
    publish(PAHO, topic, [b"new"], qos=1, retain=True)
    for client in (paho, mqttjs):
        assert client.wait(1) == [Message(topic, b"new", 1, True)]
    publish(PAHO, topic, [b""], retain=True)
