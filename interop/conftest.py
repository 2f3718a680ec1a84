"""Fixtures: the broker under test, a topic for each test, and clients that are closed after it."""

import os
import secrets

import pytest

from broker import Address, Broker
from mqttjs_peer import Agent


@pytest.fixture(scope="session")
def address():
    """The broker of the whole run: the one `BROKER` names, or one started here, which must end well."""
    if "BROKER" in os.environ:
        host, port = os.environ["BROKER"].rsplit(":", 1)
        websocket_port = os.environ.get("BROKER_WEBSOCKET")
        yield Address(host, int(port), int(websocket_port) if websocket_port else None)
        return
    try:
        broker = Broker()
    except (OSError, ChildProcessError) as error:
        # Every other test would say the same.
        pytest.exit(f"No broker to test: {error}", returncode=1)
    yield broker.address
    assert broker.stop() == 0, broker.log()


@pytest.fixture
def fresh_broker():
    """A broker of the test's own, for tests that stop it."""
    if "BROKER" in os.environ:
        pytest.skip("needs to start and stop the broker")
    broker = Broker()
    yield broker
    broker.stop()


@pytest.fixture(scope="session", autouse=True)
def agent():
    yield
    Agent.stop()


@pytest.fixture
def topic():
    return f"interop/{secrets.token_hex(6)}"


@pytest.fixture
def opened():
    """The clients to close when the test is over."""
    clients = []
    yield clients
    for client in clients:
        client.close()


@pytest.fixture
def listen(address, opened):
    """listen(peer, topic_filters...): a client of that library, connected and subscribed."""

    def listen(peer, *topic_filters, **options):
        opened.append(peer.listen(address, *topic_filters, **options))
        return opened[-1]

    return listen


@pytest.fixture
def publish(address):
    """publish(peer, topic, payloads, ...): returns when all are acknowledged."""

    def publish(peer, topic, payloads, **options):
        peer.publish(address, topic, payloads, **options)

    return publish
