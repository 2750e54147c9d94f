"""The guard of conftest: loopback works, everything else is refused at once."""

from __future__ import annotations

import asyncio
import socket
import urllib.request

import pytest

# TEST-NET-1, an address that is nobody's.
REMOTE = ("192.0.2.1", 80)


def test_loopback_connects() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=5) as client:
            assert client.getpeername() == server.getsockname()
        with socket.create_connection(("localhost", server.getsockname()[1]), timeout=5):
            pass


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_remote_connections_are_refused(method: str) -> None:
    with socket.socket() as client:
        client.settimeout(1)
        with pytest.raises(RuntimeError, match="loopback interface"):
            getattr(client, method)(REMOTE)


def test_datagrams_are_refused() -> None:
    refused = pytest.raises(RuntimeError, match="loopback interface")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, refused:
        client.sendto(b"x", REMOTE)


def test_names_are_not_looked_up() -> None:
    with pytest.raises(RuntimeError, match="loopback interface"):
        socket.getaddrinfo("example.org", 443)


def test_clients_do_not_swallow_the_refusal() -> None:
    with pytest.raises(RuntimeError, match="loopback interface"):
        urllib.request.urlopen("http://192.0.2.1/", timeout=1)


def test_event_loops_are_guarded() -> None:
    with pytest.raises(RuntimeError, match="loopback interface"):
        asyncio.run(asyncio.open_connection(*REMOTE))
