"""Bars: figures with limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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

    def cells(self) -> tuple[str, str, str, str, str]:
        """Name, value, limit, whether it is met, and the note, for a table."""
        sign = "≥" if self.at_least else "≤"
        met = "yes" if self.met else "NO"
        return self.name, figure(self.value), f"{sign} {self.limit:g}", met, self.note

    def as_json(self) -> dict[str, Any]:
        """Name, value, limit, note and met."""
        told = {name: getattr(self, name) for name in ("name", "value", "limit", "note")}
        return told | {"met": self.met}


def figure(value: float) -> str:
    """Three decimals, or the first two digits of what would vanish in them."""
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.3f}"


def write_bars(name: str, bars: Sequence[Bar], folder: Path) -> None:
    """Write the bars to ``folder/NAME.json``, as a list; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([bar.as_json() for bar in bars], indent=1, ensure_ascii=False) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")
