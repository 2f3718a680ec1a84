"""Eclipse Paho's Python client."""

import socket
import threading

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.subscribeoptions import SubscribeOptions

from peer import WAIT_SECONDS, Client, Message, Peer, Properties, new_client_id

PROTOCOLS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}
SESSION_EXPIRY_S = 300


class Paho(Peer):
    library = "paho"

    def listen(self, address, *topic_filters, qos=2, client_id=None, persistent=False, will=None, keep_alive_s=60):
        client = PahoClient(self.version, address, client_id, persistent, will, keep_alive_s)
        client.connect()
        for topic_filter in topic_filters:
            client.subscribe(topic_filter, qos)
        return client

    def publish(self, address, topic, payloads, *, qos=0, retain=False, properties=None, seconds=WAIT_SECONDS):
        client = PahoClient(self.version, address)
        client.connect()
        try:
            client.publish(topic, payloads, qos=qos, retain=retain, properties=properties, seconds=seconds)
        finally:
            client.close()


class PahoClient(Client):
    """Besides what every client can: `subscribe` with MQTT 5 options, `publish` on this connection, `go_silent`."""

    def __init__(self, version, address, client_id=None, persistent=False, will=None, keep_alive_s=60):
        super().__init__()
        self._version, self._address = version, address
        self._persistent, self._keep_alive_s = persistent, keep_alive_s
        self._client_id = new_client_id() if client_id is None else client_id
        self._connected, self._subscribed = threading.Event(), threading.Event()
        self._refusal = None
        self.topic_alias_maximum = 0
        self.assigned_client_id = None
        self._paho = self._new_paho(will)

    def __str__(self):
        return f"paho-{self._version} {self._client_id}"

    def _new_paho(self, will):
        # In MQTT 5 Paho takes the same wish as an argument of connect().
        clean = {} if self._version == "5" else {"clean_session": not self._persistent}
        paho = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=PROTOCOLS[self._version],
            reconnect_on_failure=False,
            **clean,
        )
        paho.max_queued_messages_set(0)
        paho.on_connect = self._on_connect
        paho.on_message = self._on_message
        paho.on_subscribe = self._on_subscribe
        paho.on_disconnect = self._on_disconnect
        if will is not None:
            paho.will_set(will.topic, will.payload, will.qos, will.retain)
        return paho

    def connect(self):
        self._connected.clear()
        self._began()
        options = {}
        if self._version == "5":
            properties = PahoProperties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = SESSION_EXPIRY_S if self._persistent else 0
            options = {"clean_start": not self._persistent, "properties": properties}
        self._paho.connect(self._address.host, self._address.port, self._keep_alive_s, **options)
        self._paho.loop_start()
        if not self._connected.wait(WAIT_SECONDS):
            raise TimeoutError(f"{self}: no CONNACK")
        if self._refusal is not None:
            raise ConnectionRefusedError(f"{self}: {self._refusal}")

    def subscribe(self, topic_filter, qos=2, identifier=None, **options):
        """`options` are Paho's: noLocal, retainAsPublished, retainHandling."""
        self._subscribed.clear()
        if self._version == "5":
            properties = None
            if identifier is not None:
                properties = PahoProperties(PacketTypes.SUBSCRIBE)
                properties.SubscriptionIdentifier = identifier
            self._paho.subscribe(topic_filter, options=SubscribeOptions(qos, **options), properties=properties)
        else:
            self._paho.subscribe(topic_filter, qos)
        if not self._subscribed.wait(WAIT_SECONDS):
            raise TimeoutError(f"{self}: no SUBACK")

    def publish(self, topic, payloads, *, qos=0, retain=False, properties=None, seconds=WAIT_SECONDS):
        encoded = None if properties is None else _encode(properties)
        sent = [self._paho.publish(topic, payload, qos, retain, encoded) for payload in payloads]
        for message in sent:
            message.wait_for_publish(seconds)
            if not message.is_published():
                raise TimeoutError(f"{self}: no acknowledgement of message {message.mid} in {seconds} s")

    def drop(self):
        self._paho.socket().shutdown(socket.SHUT_RDWR)
        self.wait_closed()
        self._paho.loop_stop()

    def resume(self):
        self.connect()

    def go_silent(self):
        """Keeps the connection and answers nothing any more, as a peer behind a dead link."""
        self._paho.loop_stop()

    def close(self):
        self._paho.disconnect()
        self._paho.loop_stop()

    def _on_connect(self, _paho, _data, flags, reason, properties):
        self._refusal = reason if reason.is_failure else None
        self.session_present = None if self._version == "3.1" else flags.session_present
        self.topic_alias_maximum = getattr(properties, "TopicAliasMaximum", 0)
        self.assigned_client_id = getattr(properties, "AssignedClientIdentifier", None)
        self._connected.set()

    def _on_message(self, _paho, _data, message):
        properties = Properties() if message.properties is None else _decode(message.properties)
        self._arrived(Message(message.topic, message.payload, message.qos, message.retain, properties))

    def _on_subscribe(self, _paho, _data, _mid, reasons, _properties):
        if not any(reason.is_failure for reason in reasons):
            self._subscribed.set()

    def _on_disconnect(self, _paho, _data, flags, reason, _properties):
        self._ended(reason.value if flags.is_disconnect_packet_from_server else None)


def _encode(properties):
    out = PahoProperties(PacketTypes.PUBLISH)
    fields = {
        "ContentType": properties.content_type,
        "ResponseTopic": properties.response_topic,
        "CorrelationData": properties.correlation_data,
        "PayloadFormatIndicator": properties.payload_format,
        "MessageExpiryInterval": properties.expiry_s,
        "UserProperty": list(properties.user) or None,
        "TopicAlias": properties.topic_alias,
    }
    for name, value in fields.items():
        if value is not None:
            setattr(out, name, value)
    return out


def _decode(properties):
    return Properties(
        content_type=getattr(properties, "ContentType", None),
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation_data=getattr(properties, "CorrelationData", None),
        payload_format=getattr(properties, "PayloadFormatIndicator", None),
        expiry_s=getattr(properties, "MessageExpiryInterval", None),
        user=tuple(getattr(properties, "UserProperty", ())),
        subscription_ids=tuple(getattr(properties, "SubscriptionIdentifier", ())),
        topic_alias=getattr(properties, "TopicAlias", None),
    )
