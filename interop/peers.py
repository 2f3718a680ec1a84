"""The peers of the suite: every library in every version of MQTT."""

import os

import pytest

from mosquitto_peer import Mosquitto
from mqttjs_peer import MqttJs, MqttJsOverWebSocket
from paho_peer import Paho

VERSIONS = ["3.1", "3.1.1", "5"]
LIBRARIES = [Mosquitto, Paho, MqttJs]

ALL = [library(version) for version in VERSIONS for library in LIBRARIES]
# A broker that is not started here may have no WebSockets.
if "BROKER" not in os.environ or "BROKER_WEBSOCKET" in os.environ:
    ALL += [MqttJsOverWebSocket(version) for version in ("3.1.1", "5")]
V5 = [peer for peer in ALL if peer.version == "5"]

# Each peer once as publisher and once as subscriber, always with another library, and mostly another version.
PAIRS = [(peer, ALL[(index + 4) % len(ALL)]) for index, peer in enumerate(ALL)]


def each(name, values):
    """A parameter of a test. Its values name themselves."""
    return pytest.mark.parametrize(name, values, ids=str)


each_qos = pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
each_pair = pytest.mark.parametrize(("publisher", "subscriber"), PAIRS, ids=lambda peer: str(peer))
