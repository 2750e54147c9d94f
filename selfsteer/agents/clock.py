"""How long a run has been at work, for those who may have to wait long within one of its nodes."""

from __future__ import annotations

import time

from langgraph.runtime import RunControl

from selfsteer.errors import ControllerError


class StopAsked(ControllerError):
    """The run was asked to stop while it waited for answers, which it fetches when it goes on."""


class Clock:
    """The time of a run, from its earlier stretches on, and whether it was asked to stop.

    Args:
        before: minutes of its earlier stretches.
        control: what asks it to stop, if anything does.
    """

    def __init__(self, before: float = 0.0, control: RunControl | None = None) -> None:
        self._before = before
        self._control = control
        self._began = time.monotonic()

    def minutes(self) -> float:
        """How long the run has been at work."""
        return self._before + (time.monotonic() - self._began) / 60

    def check(self) -> None:
        """Break off a wait.

        Raises:
            StopAsked: the run was asked to stop.
        """
        if self._control is not None and self._control.drain_requested:
            raise StopAsked("The run was asked to stop while it waited for a batch; resume it.")
