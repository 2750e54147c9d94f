"""`self` against the grid, against `search` at equal budget, and against the plain instruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.loop.goals import name_of
from selfsteer.steering.metrics.intervals import bootstrap_mean, wilson

Row = Mapping[str, Any]
"""What is kept of a run (`runs.figures`)."""


def by_goal(studies: Sequence[Mapping[str, Any]]) -> Table:
    """Three lines for each goal, one for each seed."""
    table = Table(title="expression on report probes, by the oracle; * accepted", show_lines=True)
    for column in ("goal", "grid", "well-formed", "self, by seed", "search", "prompt only"):
        table.add_column(column, justify="left" if column == "goal" else "right")
    for each in studies:
        best = each["grid"]["best"]
        table.add_row(
            name_of(each["asked"]),
            f"{best['expression']:.2f}",
            f"{best['well_formed']:.2f}",
            "\n".join(map(_steered, each["self"])),
            "\n".join(map(_steered, each["search"])),
            "\n".join(map(_prompted, each["self"])),
        )
    return table


def differences(studies: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on what `self` leaves behind, less what the others do, at the same seeds.

    A run that accepts nothing leaves the student as it is. Goals are the units of the intervals;
    one of which no run came as far as the report probes is left out.
    """
    search: list[float] = []
    prompt: list[float] = []
    for each in studies:
        own, other = each["self"], each["search"]
        bases = [row["base"] for row in (*own, *other) if row["base"] is not None]
        prompted = [row["prompt_only"] for row in own if row["prompt_only"] is not None]
        if bases and prompted:
            base = fmean(bases)
            left = [_left(row, base) for row in own]
            pairs = zip(left, other, strict=False)
            search.append(fmean(mine - _left(row, base) for mine, row in pairs))
            prompt.append(fmean(left) - fmean(prompted))
    return [
        f"self less {name}: {fmean(values):+.3f} {_interval(bootstrap_mean(values))}, "
        f"mean of {len(values)} goals"
        for name, values in (("search", search), ("prompt only", prompt))
        if values
    ]


def _left(row: Row, base: float) -> float:
    """The expression that a run leaves the student with."""
    return float(row["steered"]) if row["accepted"] else base


def _steered(row: Row) -> str:
    if row["steered"] is None:
        return "-"
    return f"{row['steered']:.2f}{'*' if row['accepted'] else ' '} {_interval(row['interval'])}"


def _prompted(row: Row) -> str:
    value, n = row["prompt_only"], row["n"]
    return "-" if value is None else f"{value:.2f} {_interval(wilson(round(value * n), n))}"


def _interval(ends: Sequence[float]) -> str:
    return f"[{ends[0]:.2f}, {ends[1]:.2f}]"
