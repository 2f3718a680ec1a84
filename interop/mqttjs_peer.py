"""MQTT.js. All its clients live in one Node process, `agent.js`, which is started when first needed."""

import base64
import itertools
import json
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from peer import WAIT_SECONDS, Client, Message, Peer, Properties, new_client_id

SESSION_EXPIRY_S = 300


class MqttJs(Peer):
    library = "mqttjs"

    def listen(self, address, *topic_filters, qos=2, client_id=None, persistent=False, will=None, keep_alive_s=60):
        client = MqttJsClient(self.version, address, client_id, persistent, will, keep_alive_s)
        client.connect()
        for topic_filter in topic_filters:
            client.subscribe(topic_filter, qos)
        return client

    def publish(self, address, topic, payloads, *, qos=0, retain=False, properties=None, seconds=WAIT_SECONDS):
        client = MqttJsClient(self.version, address)
        client.connect()
        try:
            client.publish(topic, payloads, qos=qos, retain=retain, properties=properties, seconds=seconds)
        finally:
            client.close()


class MqttJsOverWebSocket(MqttJs):
    library = "mqttjs-ws"

    def listen(self, address, *topic_filters, **options):
        return super().listen(OverWebSocket(address.host, address.websocket_port), *topic_filters, **options)

    def publish(self, address, topic, payloads, **options):
        super().publish(OverWebSocket(address.host, address.websocket_port), topic, payloads, **options)


@dataclass(frozen=True)
class OverWebSocket:
    """An address that is reached with a WebSocket."""

    host: str
    port: int


class Agent:
    """The Node process: sends commands, waits for their answers, hands events to their clients."""

    _running = None

    @classmethod
    def running(cls):
        if cls._running is None:
            cls._running = cls()
        return cls._running

    @classmethod
    def stop(cls):
        if cls._running is not None:
            cls._running._process.stdin.close()
            cls._running._process.wait(WAIT_SECONDS)
            cls._running = None

    def __init__(self):
        script = Path(__file__).with_name("agent.js")
        self._process = subprocess.Popen(["node", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._numbers = itertools.count(1)
        self._answers = {}
        self._clients = {}
        self._sending = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def register(self, name, client):
        self._clients[name] = client

    def ask(self, do, client, seconds=WAIT_SECONDS, **arguments):
        answer = SimpleQueue()
        with self._sending:
            number = next(self._numbers)
            self._answers[number] = answer
            line = json.dumps({"number": number, "do": do, "client": client, **arguments})
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        try:
            answered = answer.get(timeout=seconds)
        except Empty:
            raise TimeoutError(f"mqttjs {client}: {do} was not done in {seconds} s") from None
        if "error" in answered:
            raise RuntimeError(f"mqttjs {client}: {do}: {answered['error']}")
        return answered

    def _read(self):
        for line in self._process.stdout:
            said = json.loads(line)
            if "answer" in said:
                self._answers.pop(said["answer"]).put(said)
            else:
                self._clients[said["client"]].handle_event(said)


class MqttJsClient(Client):
    """Besides what every client can: `subscribe` with MQTT 5 options, `publish` on this connection."""

    _names = itertools.count(1)

    def __init__(self, version, address, client_id=None, persistent=False, will=None, keep_alive_s=60):
        super().__init__()
        self._version = version
        self._name = f"js{next(self._names)}"
        self._open = False
        self._disconnect_reason = None
        self._options = {
            "host": address.host,
            "port": address.port,
            "clientId": client_id or new_client_id(),
            "clean": not persistent,
            "keepalive": keep_alive_s,
        }
        if isinstance(address, OverWebSocket):
            self._options |= {"protocol": "ws", "path": "/mqtt"}
        if version == "5":
            self._options["properties"] = {"sessionExpiryInterval": SESSION_EXPIRY_S if persistent else 0}
        if will is not None:
            self._options["will"] = {"topic": will.topic, "payload": _base64(will.payload), "qos": will.qos, "retain": will.retain}
        self._agent = Agent.running()
        self._agent.register(self._name, self)

    def __str__(self):
        return f"mqttjs-{self._version} {self._options['clientId']}"

    def connect(self):
        self._connected(self._agent.ask("connect", self._name, version=self._version, options=self._options))

    def resume(self):
        self._began()
        self._connected(self._agent.ask("reconnect", self._name))

    def _connected(self, connack):
        self._open = True
        self.session_present = None if self._version == "3.1" else connack["session_present"]

    def subscribe(self, topic_filter, qos=2, **options):
        """`options` are MQTT.js': nl, rap, rh, properties."""
        self._agent.ask("subscribe", self._name, filter=topic_filter, options={"qos": qos, **options})

    def publish(self, topic, payloads, *, qos=0, retain=False, properties=None, seconds=WAIT_SECONDS):
        encoded = {} if properties is None else _encode(properties)
        payloads = [_base64(payload) for payload in payloads]
        self._agent.ask(
            "publish", self._name, seconds, topic=topic, payloads=payloads, qos=qos, retain=retain, properties=encoded
        )

    def drop(self):
        self._agent.ask("drop", self._name)

    def close(self):
        if self._open:
            self._open = False
            self._agent.ask("end", self._name)

    def handle_event(self, said):
        if said["event"] == "message":
            payload = base64.b64decode(said["payload"])
            properties = _decode(said["properties"])
            self._arrived(Message(said["topic"], payload, said["qos"], said["retain"], properties))
        elif said["event"] == "disconnect":
            self._disconnect_reason = said["reason"]
        else:
            self._ended(self._disconnect_reason)


def _base64(payload):
    return base64.b64encode(payload).decode()


def grouped(user):
    """User properties in the order MQTT.js can tell: it keeps all values of a name in one place."""
    by_name = {}
    for name, value in user:
        by_name.setdefault(name, []).append(value)
    return tuple((name, value) for name, values in by_name.items() for value in values)


def _encode(properties):
    by_name = {}
    for name, value in properties.user:
        by_name.setdefault(name, []).append(value)
    correlation = properties.correlation_data
    fields = {
        "contentType": properties.content_type,
        "responseTopic": properties.response_topic,
        "correlationData": None if correlation is None else _base64(correlation),
        "payloadFormatIndicator": None if properties.payload_format is None else bool(properties.payload_format),
        "messageExpiryInterval": properties.expiry_s,
        "userProperties": by_name or None,
        "topicAlias": properties.topic_alias,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _decode(properties):
    user = [
        (name, value)
        for name, values in properties.get("userProperties", {}).items()
        for value in (values if isinstance(values, list) else [values])
    ]
    ids = properties.get("subscriptionIdentifier", [])
    correlation = properties.get("correlationData")
    payload_format = properties.get("payloadFormatIndicator")
    return Properties(
        content_type=properties.get("contentType"),
        response_topic=properties.get("responseTopic"),
        correlation_data=None if correlation is None else base64.b64decode(correlation),
        payload_format=None if payload_format is None else int(payload_format),
        expiry_s=properties.get("messageExpiryInterval"),
        user=tuple(user),
        subscription_ids=tuple(ids if isinstance(ids, list) else [ids]),
        topic_alias=properties.get("topicAlias"),
    )
