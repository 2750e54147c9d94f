"""How an evolution is shown: how far it has come while it goes on, and tables at its end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from selfsteer.agents.evolving.settings import EvolveSettings, evaluations, workload
from selfsteer.agents.probes import deal_probes
from selfsteer.agents.types import CandidateSpec
from selfsteer.app.output import figure, literal, place, table
from selfsteer.app.progress import line
from selfsteer.memory.records import Candidate, Event

# What every event finishes, of what `workload` counts; others only tell.
_FINISHES = {"finalists": "finalists", "confirmed": "confirm", "compared": "report"}


class EvolutionDisplay:
    """Tells of every generation in a line, with a bar below where there is a terminal.

    What is left is counted in replies that the student still has to give, and priced at what one
    has cost so far. Use it as a context manager, and hand it to the evolution as its listener.
    """

    def __init__(self, console: Console, settings: EvolveSettings) -> None:
        self._console = console
        self._settings = settings
        self._work = workload(settings, deal_probes(settings.seed))
        self._total = (
            sum(self._work.values())
            + (settings.evolution.generations - 1) * self._work["generation"]
        )
        self._done = self._mine = 0
        self._began = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), console=console, transient=True
        )
        self._bar = self._progress.add_task("founding", total=self._total)

    def __enter__(self) -> Self:
        wanted = evaluations(self._settings)
        replies = f"{wanted} evaluations, up to {self._total} replies"
        self._console.print(literal(f"{self._settings.goal.text}: {replies}"))
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def catch_up(self, events: Sequence[Event]) -> None:
        """Take in what a resumed run has told before; its replies cost this process no time."""
        for event in events:
            self._done += self._finished(event.kind, event.payload)
        self._mine = 0
        self._progress.update(self._bar, completed=self._done)

    def __call__(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Take in an event; the signature is that of the loop's listeners."""
        finished = self._finished(kind, payload)
        self._done += finished
        self._mine += finished
        elapsed = time.monotonic() - self._began
        left = elapsed / self._mine * (self._total - self._done) if self._mine else None
        rest = "" if not finished or not left else f"; about {left:.0f} s left"
        said = self._generation(payload) if kind == "generation" else line(kind, payload)
        self._progress.update(self._bar, completed=self._done, description=kind)
        self._console.print(literal(f"{elapsed:7.1f}s {said}{rest}"), soft_wrap=True)

    def _finished(self, kind: str, payload: Mapping[str, Any]) -> int:
        if kind == "generation":
            return self._work["generation" if payload["round"] else "founding"]
        return self._work[_FINISHES[kind]] if kind in _FINISHES else 0

    def _generation(self, payload: Mapping[str, Any]) -> str:
        ours, theirs = payload["evolved"], payload["random"]
        return (
            f"generation {payload['round']} of {self._settings.evolution.generations}: "
            f"best {ours['best']:.3f} ({ours['individual']}, steerability "
            f"{ours['steerability']:.2f}), median {ours['median']:.3f}, diversity "
            f"{ours['diversity']:.3f}; random best {theirs['best']:.3f}"
        )


def generations_table(events: Sequence[Event]) -> Table:
    """Fitness and diversity of every generation, in both arms."""
    columns = ("generation", "best", "median", "diversity", "random best", "random median")
    shown = table("Fitness on development probes, on which selection fed", *columns, right=columns)
    for event in events:
        if event.kind == "generation":
            ours, theirs = event.payload["evolved"], event.payload["random"]
            assert isinstance(ours, dict) and isinstance(theirs, dict)
            figures = (
                *(ours[name] for name in ("best", "median", "diversity")),
                *(theirs[name] for name in ("best", "median")),
            )
            row = [f"{value:.3f}" for value in figures if isinstance(value, float)]
            shown.add_row(str(event.payload["round"]), *row)
    return shown


def champions_table(rows: Sequence[Candidate]) -> Table:
    """What the champions did on report probes.

    Args:
        rows: the candidates on these probes.
    """
    figures = ("steerability", "95 %", "coherence", "broken", "replies")
    columns = ("arm", "individual", "where", *figures)
    shown = table("Report probes, which selection never saw", *columns, right=figures)
    for row in rows:
        told: Mapping[str, Any] = row.details
        low, high = told["interval"]
        shown.add_row(
            literal(told.get("group", row.arm.replace("_", " "))),
            literal(told.get("individual", "")),
            literal(_where(row)),
            figure(row.steerability),
            f"{low:.2f} to {high:.2f}",
            figure(row.coherence),
            figure(told.get("broken")),
            str(row.n),
        )
    return shown


def _where(row: Candidate) -> str:
    spec = CandidateSpec.of_plan(row.plan)
    return "" if spec is None else place(spec.site, spec.layer, spec.operator, spec.strength)
