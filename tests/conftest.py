"""What holds for every test: no network beyond this machine, no hub, few threads."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any

import pytest

# Before any import that reads them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No model is asked beyond this machine, whatever keys the environment holds.
os.environ["SELFSTEER_FORBID_REQUESTS"] = "1"

import torch
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

# The same examples everywhere, and no verdict that depends on how busy a machine is. To look for
# new counterexamples: HYPOTHESIS_PROFILE=explore make test
_UNTIMED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
hypothesis_settings.register_profile("repeatable", derandomize=True, **_UNTIMED)
hypothesis_settings.register_profile("explore", max_examples=1000, **_UNTIMED)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

if "OMP_NUM_THREADS" not in os.environ:
    # The models are tiny: more threads spend their time waiting for one another.
    torch.set_num_threads(min(2, os.cpu_count() or 1))


class NetworkForbiddenError(RuntimeError):
    """A test tried to leave the machine. Not an OSError, which clients catch and retry."""


def _is_local(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse_remote(host: object) -> None:
    if not _is_local(host):
        raise NetworkForbiddenError(f"tests may only talk to the loopback interface, not to {host}")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses connections, datagrams and look-ups that leave the machine."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    sendto, getaddrinfo = socket.socket.sendto, socket.getaddrinfo
    internet = (socket.AF_INET, socket.AF_INET6)

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in internet:
            _refuse_remote(address[0])
        return connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        if self.family in internet:
            _refuse_remote(address[0])
        return connect_ex(self, address)

    def guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        if self.family in internet:
            _refuse_remote(rest[-1][0])
        return sendto(self, data, *rest)

    def guarded_getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
        _refuse_remote(host)
        return getaddrinfo(host, *rest, **named)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket.socket, "sendto", guarded_sendto)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
