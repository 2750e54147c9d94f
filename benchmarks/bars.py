"""Bars printed as a table and written to `build/bars/NAME.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from selfsteer.scenarios.bars import Bar, figure, write_bars

__all__ = ["Bar", "figure", "publish"]

FOLDER = Path("build/bars")


def publish(name: str, bars: Sequence[Bar]) -> int:
    """Print and write the bars; returns the exit code: 1 when one is missed."""
    table = Table(title=name)
    for column in ("bar", "value", "limit", "met", "note"):
        table.add_column(column, justify="left" if column in ("bar", "note") else "right")
    for bar in bars:
        table.add_row(*bar.cells())
    Console(width=120).print(table)
    write_bars(name, bars, FOLDER)
    return 0 if all(bar.met for bar in bars) else 1
