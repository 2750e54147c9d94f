"""SIGTERM asks a run to stop politely; Ctrl-C stays what it is, immediate."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from langgraph.runtime import RunControl

DRAINED = 128 + signal.SIGTERM  # exit code


@contextmanager
def drained_by_sigterm() -> Iterator[RunControl]:
    """A control for one run, which SIGTERM tells to stop once its current node is done."""
    control = RunControl()

    def drain(number: int, frame: FrameType | None) -> None:
        control.request_drain("SIGTERM")

    before = signal.signal(signal.SIGTERM, drain)
    try:
        yield control
    finally:
        signal.signal(signal.SIGTERM, before)
