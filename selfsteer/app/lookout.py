"""Watching runs of other processes, through the memory that they write to."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live

from selfsteer.agents.settings import RunSettings
from selfsteer.app.output import literal
from selfsteer.app.progress import Display, line
from selfsteer.memory.store import Memory


class Lookout:
    """Shows runs by what they tell: a panel each on a terminal, a line for each event elsewhere.

    Args:
        orders: the settings of the runs, by the runs' ids; they need not have begun.
    """

    def __init__(self, memory: Memory, console: Console, orders: Mapping[str, RunSettings]) -> None:
        self._memory, self._console = memory, console
        self._orders = orders
        self._told = dict.fromkeys(orders, 0)
        self._displays: dict[str, Display] = {}
        self._began = time.monotonic()
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> None:
        if self._console.is_terminal:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def look(self) -> None:
        """Take in what is new."""
        for name, settings in self._orders.items():
            new = self._memory.runs.events(name, after=self._told[name])
            if new and name not in self._displays:
                self._displays[name] = Display(self._console, settings.goal.text, settings)
            for event in new:
                self._told[name] = event.sequence
                self._displays[name].take_in(event.kind, event.payload)
                if not self._console.is_terminal:
                    elapsed = time.monotonic() - self._began
                    said = f"{elapsed:7.1f}s {name} {line(event.kind, event.payload)}"
                    self._console.print(literal(said), soft_wrap=True)

    def _render(self) -> RenderableType:
        return Group(*(display.render() for display in self._displays.values()))
