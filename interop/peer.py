"""What a test sees of any client library: peers, clients, messages.

A peer is a library in one protocol version. It listens (connects and subscribes) or publishes, and that is all
most tests need, so that each of them runs unchanged with every library. Nothing here knows a library.
"""

import secrets
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

WAIT_SECONDS = 15

# Ends a row of messages, so that "no more came" needs no sleep.
END = b"end"


@dataclass(frozen=True)
class Properties:
    """The properties of an MQTT 5 PUBLISH. None or empty means absent."""

    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    payload_format: int | None = None
    expiry_s: int | None = None
    user: tuple[tuple[str, str], ...] = ()
    subscription_ids: tuple[int, ...] = ()
    topic_alias: int | None = None


@dataclass(frozen=True)
class Message:
    """A message as it reached a client."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties = field(default=Properties(), compare=False)


@dataclass(frozen=True)
class Will:
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


def new_client_id():
    """Is unique, and short and plain enough for MQTT 3.1 (23 characters)."""
    return "c" + secrets.token_hex(8)


class Client(ABC):
    """One connected client. Libraries call `_arrived` and `_ended` from threads of their own."""

    # What the last CONNACK said. None where it cannot: MQTT 3.1 has no such flag.
    session_present: bool | None = None

    def __init__(self):
        self._changed = threading.Condition()
        self._messages = []
        # Counted, since looking through all messages at each arrival would make a burst quadratic.
        self._ends = 0
        self._ended_with = None

    @abstractmethod
    def drop(self):
        """Cuts the connection without DISCONNECT."""

    @abstractmethod
    def resume(self):
        """Connects again with the same options, without Clean Start."""

    @abstractmethod
    def close(self):
        """Ends the connection with DISCONNECT. Does nothing where there is none."""

    def messages(self):
        """All messages so far."""
        with self._changed:
            return list(self._messages)

    def payloads(self):
        return [message.payload for message in self.messages()]

    def wait(self, count, seconds=WAIT_SECONDS):
        """The messages, as soon as `count` have come."""
        return self._wait_messages(lambda: len(self._messages) >= count, f"{count} messages", seconds)

    def until_end(self, ends=1, seconds=WAIT_SECONDS):
        """The messages but `END`, as soon as `END` has come `ends` times."""
        messages = self._wait_messages(lambda: self._ends >= ends, "the end", seconds)
        return [message for message in messages if message.payload != END]

    def wait_closed(self, seconds=WAIT_SECONDS):
        """The reason code of the broker's DISCONNECT, or None without one, as soon as the connection is gone."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended_with is not None, seconds):
                raise TimeoutError(f"{self}: the connection is still there after {seconds} s")
            return self._ended_with[0]

    def _wait_messages(self, arrived, what, seconds):
        with self._changed:
            # A closed connection brings no more: fail at once.
            self._changed.wait_for(lambda: arrived() or self._ended_with is not None, seconds)
            if not arrived():
                end = f"the connection ended with {self._ended_with[0]}" if self._ended_with else f"{seconds} s passed"
                last = self._messages[-1] if self._messages else None
                raise TimeoutError(f"{self}: no {what}: {end}, {len(self._messages)} came, the last is {last}")
            return list(self._messages)

    def _arrived(self, message):
        with self._changed:
            self._messages.append(message)
            self._ends += message.payload == END
            self._changed.notify_all()

    def _ended(self, reason):
        """Keeps the first reason: a library may report one end twice."""
        with self._changed:
            if self._ended_with is None:
                self._ended_with = (reason,)
            self._changed.notify_all()

    def _began(self):
        with self._changed:
            self._ended_with = None


@dataclass(frozen=True)
class Peer(ABC):
    """A client library in one protocol version."""

    version: str
    library = ""
    # Tells the reason of a DISCONNECT to its user, and stays away after it.
    reports_disconnect = True
    # Closes with reason 0x04 (disconnect with will message).
    wills_on_close = False

    def __str__(self):
        return f"{self.library}-{self.version}"

    @abstractmethod
    def listen(self, address, *topic_filters, qos=2, client_id=None, persistent=False, will=None, keep_alive_s=60) -> Client:
        """Connects and subscribes. Returns after SUBACK.

        A persistent client has a session that outlives the connection, until the client is listened with again
        under the same id and without `persistent`.
        """

    @abstractmethod
    def publish(self, address, topic, payloads, *, qos=0, retain=False, properties=None, seconds=WAIT_SECONDS):
        """Connects, publishes all payloads in order, waits for their acknowledgements, disconnects."""
