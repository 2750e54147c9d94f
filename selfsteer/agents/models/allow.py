"""A switch that makes requests to real services impossible, for tests above all."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from selfsteer.agents.models.errors import RequestsForbidden

VARIABLE = "SELFSTEER_FORBID_REQUESTS"
_ALLOWING = {"", "0", "false", "no", "off"}

# One token for each block that forbids; a set, so that blocks of several threads may overlap.
_blocks: set[int] = set()
_numbers = count()


@contextmanager
def forbid_requests() -> Iterator[None]:
    """Within the block, in every thread, no model is asked beyond this machine."""
    block = next(_numbers)
    _blocks.add(block)
    try:
        yield
    finally:
        _blocks.discard(block)


def check_allowed(host: str) -> None:
    """Refuse a request to a host while requests are forbidden; this machine is always allowed.

    Raises:
        RequestsForbidden: `forbid_requests` is in force, or the environment sets
            `SELFSTEER_FORBID_REQUESTS`.
    """
    if (_blocks or _forbidden_by_environment()) and not _is_loopback(host):
        raise RequestsForbidden(
            f"Requests to models are switched off and {host or 'no host'} is not this machine; "
            f"unset {VARIABLE}, or use a server on the loopback interface."
        )


def _forbidden_by_environment() -> bool:
    # Whatever is not a plain "no" forbids: a typing error must not open the door.
    return os.environ.get(VARIABLE, "").strip().lower() not in _ALLOWING


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
