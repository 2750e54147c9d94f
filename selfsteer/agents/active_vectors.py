"""Which vectors of an allow-list steer a conversation, and until when."""

from __future__ import annotations

from collections.abc import Mapping

from selfsteer.agents.steer_tool import Call, Keep, Revert, Scope, Steer, Steerable, granted
from selfsteer.agents.types import Record
from selfsteer.errors import ControllerError
from selfsteer.steering.plan import Plan


class Active(Record):
    """A vector that steers the next reply."""

    vector: str
    strength: float
    scope: Scope


class ActiveVectors:
    """What holds until it is reverted, and over it what holds for the next reply only.

    Args:
        allowed: the vectors that may be steered with, by name.
    """

    def __init__(self, allowed: Mapping[str, Steerable]) -> None:
        self._allowed = allowed
        self._standing: dict[str, float] = {}
        self._next: dict[str, float | None] = {}  # None: this one rests for a reply

    @property
    def now(self) -> tuple[Active, ...]:
        """What steers the next reply, in the order of the allow-list."""
        found = []
        for name in self._allowed:
            strength = self._next.get(name, self._standing.get(name))
            if strength is not None:
                scope: Scope = "next" if name in self._next else "until_reverted"
                found.append(Active(vector=name, strength=strength, scope=scope))
        return tuple(found)

    @property
    def plan(self) -> Plan:
        """The steering of the next reply."""
        return Plan(tuple(granted(self._allowed, one.vector, one.strength) for one in self.now))

    def carry_out(self, call: Call) -> None:
        """Do what a call asks.

        Raises:
            ControllerError: it asks for what it may not have; nothing has changed then.
        """
        if isinstance(call, Keep):
            return
        if isinstance(call, Revert):
            self._revert(call.vector)
            return
        granted(self._allowed, call.vector, call.strength)
        if not isinstance(call, Steer):
            self._check_active(call.active)
            self._take_away(call.active, call.scope)
        if call.scope == "next":
            self._next[call.vector] = call.strength
        else:
            self._standing[call.vector] = call.strength
            self._next.pop(call.vector, None)

    def replied(self) -> None:
        """A reply was given: what held for it alone is over."""
        self._next.clear()

    def _revert(self, name: str | None) -> None:
        if name is not None:
            self._check_active(name)
        for one in self.now:
            if name in (None, one.vector):
                self._take_away(one.vector, "until_reverted")

    def _take_away(self, name: str, scope: Scope) -> None:
        self._next.pop(name, None)
        if scope == "until_reverted":
            self._standing.pop(name, None)
        elif name in self._standing:
            self._next[name] = None

    def _check_active(self, name: str) -> None:
        active = [one.vector for one in self.now]
        if name not in active:
            raise ControllerError(
                f"{name[:60]!r} is not active; what steers now: {', '.join(active) or 'nothing'}."
            )
