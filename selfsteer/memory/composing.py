"""Remembered plans that meet a goal together: "gloomy" and "formal" for "gloomy and formal"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfsteer.memory.goals import content_terms
from selfsteer.memory.records import Remembered
from selfsteer.memory.store import Memory

MOST_PARTS = 3
_OF_A_WORD = 10  # plans that are looked at for one word


def compositions(
    memory: Memory, goal: str, fingerprint: str, *, run_id: str | None = None
) -> Iterator[tuple[Remembered, ...]]:
    """Two or three plans for this student that have every content word of ``goal`` between them.

    Fewer plans come before more; then the order is that in which each word of the goal, asked for
    on its own, recalls them. Every plan has a word that no other of its composition has. Nothing
    says yet that they get on with each other: that is for fresh probes to say.

    Args:
        run_id: the run that asks, as in :meth:`Recall.recall`.
    """
    plans: dict[int, Remembered] = {}
    having: list[list[int]] = []
    for word in content_terms(goal):
        hits = memory.recall(word, fingerprint, limit=_OF_A_WORD, run_id=run_id)
        if not hits:
            return
        having.append([hit.remembered.id for hit in hits])
        plans.update({hit.remembered.id: hit.remembered for hit in hits})
    for count in range(2, MOST_PARTS + 1):
        for chosen in covers(having, count):
            yield tuple(plans[one] for one in chosen)


def covers(rows: Sequence[Sequence[int]], count: int) -> Iterator[tuple[int, ...]]:
    """All ways to choose ``count`` members so that each row has one and no member can be spared.

    The first row that is not served yet decides who comes next, in its order; so there are at most
    (length of a row) ** count ways to look at, however many rows there are.
    """
    seen: set[frozenset[int]] = set()
    for chosen in _serving(rows, count, ()):
        if frozenset(chosen) not in seen and all(_needed(one, chosen, rows) for one in chosen):
            seen.add(frozenset(chosen))
            yield chosen


def _serving(
    rows: Sequence[Sequence[int]], count: int, chosen: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    unserved = next((row for row in rows if not set(row).intersection(chosen)), None)
    if unserved is None:
        if len(chosen) == count:
            yield chosen
    elif len(chosen) < count:
        for one in unserved:
            yield from _serving(rows, count, (*chosen, one))


def _needed(one: int, chosen: tuple[int, ...], rows: Sequence[Sequence[int]]) -> bool:
    return any(set(row).intersection(chosen) == {one} for row in rows)
