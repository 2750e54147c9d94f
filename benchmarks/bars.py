"""Bars: figures with limits, printed as a table and written to `build/bars/NAME.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

FOLDER = Path("build/bars")


@dataclass(frozen=True)
class Bar:
    """A figure and its limit.

    Attributes:
        name: what was measured.
        value: the figure.
        limit: what it must reach, or must not pass.
        at_least: whether the limit is the least or the greatest value allowed.
        note: interval, worst case and the like.
    """

    name: str
    value: float
    limit: float
    at_least: bool = True
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure keeps its limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def figure(value: float) -> str:
    """Three decimals, or the first two digits of what would vanish in them."""
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.3f}"


def publish(name: str, bars: Sequence[Bar]) -> int:
    """Print and write the bars; returns the exit code: 1 when one is missed."""
    table = Table(title=name)
    for column in ("bar", "value", "limit", "met", "note"):
        table.add_column(column, justify="left" if column in ("bar", "note") else "right")
    for bar in bars:
        sign = "≥" if bar.at_least else "≤"
        table.add_row(
            bar.name,
            figure(bar.value),
            f"{sign} {bar.limit:g}",
            "yes" if bar.met else "NO",
            bar.note,
        )
    Console(width=120).print(table)
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = [
        {k: v for k, v in asdict(bar).items() if k != "at_least"} | {"met": bar.met} for bar in bars
    ]
    (FOLDER / f"{name}.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    return 0 if all(bar.met for bar in bars) else 1
