"""Options of several commands that are written as words: read, or refused in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from selfsteer.errors import ControllerError, SelfsteerError

if TYPE_CHECKING:
    from selfsteer.agents.approval import What


def parse_roles(words: Sequence[str]) -> dict[str, str]:
    """Read `ROLE=CONTROLLER`, each.

    Raises:
        ControllerError: no equals sign, or a role that is given twice.
    """
    roles: dict[str, str] = {}
    for word in words:
        role, equals, name = word.partition("=")
        if not (role and equals and name) or role in roles:
            raise ControllerError(
                f"--role must be ROLE=CONTROLLER, each role once, such as judge=self, not {word!r}."
            )
        roles[role] = name
    return roles


def parse_strengths(text: str) -> tuple[float, float]:
    """Read `LOW:HIGH`.

    Raises:
        SelfsteerError: not two numbers with a colon between them.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        low = high = math.nan
    if not 0 < low < high < math.inf:
        raise SelfsteerError(
            f"--strengths must be LOW:HIGH, two numbers above 0 such as 0.2:2.5, not {text!r}."
        )
    return low, high


def parse_approve(text: str) -> frozenset[What]:
    """Read `data`, `plan` or both with a comma between them.

    Raises:
        SelfsteerError: something else.
    """
    known: dict[str, What] = {"data": "data", "plan": "plan"}
    names = [name.strip() for name in text.split(",")]
    if not all(name in known for name in names):
        raise SelfsteerError(f"--approve must be data, plan or data,plan, not {text!r}.")
    return frozenset(known[name] for name in names)
