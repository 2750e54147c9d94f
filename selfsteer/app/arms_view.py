"""The table of what is known of users, and how far their own vectors are ahead of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rich.table import Table

from selfsteer.app.output import figure, table

OWN = "own"


class Shown(NamedTuple):
    """A figure of an arm, and the paired difference of the own vector's to it, with intervals."""

    value: float
    interval: tuple[float, float]
    ahead: float
    ahead_interval: tuple[float, float]


def arms_table(title: str, names: Mapping[str, str], arms: Mapping[str, Shown]) -> Table:
    """A row for each arm; the own vector is not ahead of itself.

    Args:
        names: what people call the arms, by name, in the order of the rows.
    """
    columns = ("figure", "95 %", "own ahead by", "95 % of that")
    listing = table(title, "what is known", *columns, right=columns)
    for name, words in names.items():
        if name in arms:
            one = arms[name]
            cells = [figure(one.value, 3), interval(one.interval)]
            if name != OWN:
                cells += [f"{one.ahead:+.3f}", interval(one.ahead_interval)]
            listing.add_row(words, *cells)
    return listing


def interval(ends: tuple[float, float]) -> str:
    """In brackets."""
    low, high = ends
    return f"[{low:.3f}, {high:.3f}]"
