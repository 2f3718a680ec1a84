"""The beginning and the end of connections."""

import pytest

from paho_peer import Paho
from peers import ALL


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_empty_client_id_is_given_one(listen, version):
    client = listen(Paho(version), client_id="")
    # [MQTT-3.2.2-16]; only MQTT 5 can tell the client its id.
    assert bool(client.assigned_client_id) == (version == "5")


def test_program_ends_well_and_says_goodbye(fresh_broker, opened):
    """SIGTERM closes every connection, tells MQTT 5 clients why (0x8B), and the program exits with 0."""
    clients = {}
    for peer in ALL:
        if peer.reports_disconnect:
            clients[peer] = peer.listen(fresh_broker.address, "t")
            opened.append(clients[peer])
    assert fresh_broker.stop() == 0, fresh_broker.log()
    for peer, client in clients.items():
        assert client.wait_closed() == (0x8B if peer.version == "5" else None), str(peer)
