"""Mosquitto's command line clients: a listener is a `mosquitto_sub`, a row of messages one `mosquitto_pub`."""

import json
import subprocess
import threading
from collections import deque

from peer import WAIT_SECONDS, Client, Message, Peer, Properties, new_client_id

PROTOCOLS = {"3.1": "mqttv31", "3.1.1": "mqttv311", "5": "mqttv5"}
SESSION_EXPIRY_S = 300

# Quality, retain flag and payload in hexadecimal, then everything else as JSON (whose payload may be cut).
FORMAT = "= %q %r %x %j"


class Mosquitto(Peer):
    library = "mosquitto"
    # mosquitto_sub connects again at once and keeps the reason for itself.
    reports_disconnect = False

    @property
    def wills_on_close(self):
        return self.version == "5"

    def listen(self, address, *topic_filters, qos=2, client_id=None, persistent=False, will=None, keep_alive_s=60):
        options = ["-i", client_id or new_client_id(), "-k", str(keep_alive_s), "-q", str(qos)]
        # mosquitto_sub must subscribe to something.
        for topic_filter in topic_filters or [f"nothing/{new_client_id()}"]:
            options += ["-t", topic_filter]
        if persistent:
            options += ["-c"] + (["-x", str(SESSION_EXPIRY_S)] if self.version == "5" else [])
        if will is not None:
            options += ["--will-topic", will.topic, "--will-payload", will.payload.decode(), "--will-qos", str(will.qos)]
            options += ["--will-retain"] if will.retain else []
        client = MosquittoClient(address, self.version, options)
        client.resume()
        return client

    def publish(self, address, topic, payloads, *, qos=0, retain=False, properties=None, seconds=WAIT_SECONDS):
        options = ["-t", topic, "-q", str(qos)] + (["-r"] if retain else [])
        if properties is not None:
            options += _encode(properties)
        if len(payloads) > 1:
            # One message for each line.
            assert not any(b"\n" in payload or payload == b"" for payload in payloads)
            options, stdin = options + ["-l"], b"".join(payload + b"\n" for payload in payloads)
        elif payloads[0] == b"":
            options, stdin = options + ["-n"], b""
        else:
            options, stdin = options + ["-s"], payloads[0]
        run("mosquitto_pub", address, self.version, options, stdin, seconds)


def run(program, address, version, options, stdin=b"", seconds=WAIT_SECONDS):
    """Runs one of Mosquitto's programs to its end and returns what it printed."""
    command = [program, *_connection(address, version), *options]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=seconds)
    if done.returncode != 0 or done.stderr:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode}: {done.stderr.decode()}")
    return done.stdout


def _connection(address, version):
    return ["-h", address.host, "-p", str(address.port), "-V", PROTOCOLS[version]]


class MosquittoClient(Client):
    def __init__(self, address, version, options):
        super().__init__()
        # stdbuf: a message must not wait in the buffer of the pipe for the next ones.
        self._command = ["stdbuf", "-oL", "mosquitto_sub", "-d", "-F", FORMAT, *_connection(address, version), *options]
        self._process = self._reader = None
        # From here on the signal may have cut what is printed.
        self._leaving = False
        self._log = deque(maxlen=20)

    def __str__(self):
        return f"{' '.join(self._command)}\n{''.join(self._log)}"

    def resume(self):
        """mosquitto_sub subscribes each time it connects."""
        self._began()
        self._leaving = False
        ready = threading.Event()
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, args=(self._process, ready), daemon=True)
        self._reader.start()
        if not ready.wait(WAIT_SECONDS) or self._process.poll() is not None:
            raise ConnectionError(f"no SUBACK: {self}")

    def drop(self):
        self._leaving = True
        self._process.kill()
        self._wait_process()

    def close(self):
        self._leaving = True
        # On SIGTERM mosquitto_sub sends DISCONNECT and leaves, in MQTT 5 with reason 0x04.
        self._process.terminate()
        try:
            self._wait_process()
        except subprocess.TimeoutExpired:
            # Its signal handler takes a lock that what it has interrupted may hold: then it never
            # leaves, whichever the broker. A test that needs its DISCONNECT misses that.
            self._process.kill()
            self._wait_process()

    def _wait_process(self):
        self._process.wait(WAIT_SECONDS)
        self._reader.join(WAIT_SECONDS)

    def _read(self, process, ready):
        """Sets `ready` at SUBACK, or at the end of the process."""
        with process.stdout as lines:
            for line in lines:
                if self._leaving:
                    continue
                if line.startswith(b"= "):
                    self._arrived(_message(line))
                else:
                    self._log.append(line.decode(errors="replace"))
                if line.startswith(b"Subscribed"):
                    ready.set()
        process.wait()
        self._ended(None)
        ready.set()


def _message(line):
    _, qos, retain, rest = line.split(b" ", 3)
    payload, described = rest.split(b" ", 1)
    # Pairs, not a dictionary: a user property may come twice.
    described = dict(json.loads(described.decode(errors="replace"), object_pairs_hook=list))
    properties = dict(described.get("properties", []))
    correlation = properties.get("correlation-data")
    ids = properties.get("subscription-identifier", [])
    return Message(
        described["topic"],
        bytes.fromhex(payload.decode()),
        int(qos),
        retain == b"1",
        Properties(
            content_type=properties.get("content-type"),
            response_topic=properties.get("response-topic"),
            correlation_data=None if correlation is None else correlation.encode(),
            payload_format=properties.get("payload-format-indicator"),
            expiry_s=properties.get("message-expiry-interval"),
            user=tuple((name, value) for name, value in properties.get("user-properties", [])),
            subscription_ids=tuple(ids if isinstance(ids, list) else [ids]),
            topic_alias=properties.get("topic-alias"),
        ),
    )


def _encode(properties):
    fields = {
        "content-type": properties.content_type,
        "response-topic": properties.response_topic,
        "correlation-data": None if properties.correlation_data is None else properties.correlation_data.decode(),
        "payload-format-indicator": properties.payload_format,
        "message-expiry-interval": properties.expiry_s,
        "topic-alias": properties.topic_alias,
    }
    options = []
    for name, value in fields.items():
        if value is not None:
            options += ["-D", "publish", name, str(value)]
    for name, value in properties.user:
        options += ["-D", "publish", "user-property", name, value]
    return options
