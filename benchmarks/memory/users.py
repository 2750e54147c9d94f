"""How long it takes to find the vector that steers for one user among very many."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

import numpy as np

from benchmarks.bars import Bar
from benchmarks.memory.vectors import FINGERPRINT
from selfsteer.memory import Memory

ASKED = 5_000
AT_ONCE = 1_000  # users put on record in one transaction
MEDIAN_MS, P99_MS = 1.0, 5.0


def current(memory: Memory, count: int) -> Iterator[Bar]:
    """The current vector of users drawn at random: the version in use, and its numbers, verified.

    Warm: each was asked for once before.

    Args:
        memory: with as many vectors as there are to be users, one for each.
    """
    names = _users(memory, count)
    asked = Random(0).choices(names, k=ASKED)
    for name in asked:
        _seconds(memory, name)
    taken = 1000 * np.array([_seconds(memory, name) for name in asked])
    what = f"current vector of one of {count:,} users"
    yield Bar(f"{what}, median ms", float(np.median(taken)), MEDIAN_MS, at_least=False, note="warm")
    yield Bar(
        f"{what}, 99th percentile ms",
        float(np.percentile(taken, 99)),
        P99_MS,
        at_least=False,
        note=f"of {ASKED:,} questions",
    )


def _seconds(memory: Memory, name: str) -> float:
    began = time.perf_counter()
    version = memory.users.current(name, FINGERPRINT)
    assert version is not None, "every user has a vector in use"
    memory.get_vector(version.vector_id)
    return time.perf_counter() - began


def _users(memory: Memory, count: int) -> list[str]:
    """Users, each with one of the stored vectors in use."""
    vectors = [row.id for row in memory.vectors()[:count]]
    names = [f"user-{number:06}" for number in range(len(vectors))]
    users = memory.users
    for start in range(0, len(names), AT_ONCE):
        with users.transaction():
            for name, vector_id in zip(
                names[start : start + AT_ONCE], vectors[start : start + AT_ONCE], strict=True
            ):
                users.add(name)
                version = users.put_vector(
                    name, vector_id, method="contrast", settings={}, plan={}, evidence=[], scores={}
                )
                users.put_in_use(version.id, {}, "for the benchmark")
    return names
