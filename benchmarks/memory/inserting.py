"""How many vectors a second are stored, validated, hashed, indexed and on disk."""

from __future__ import annotations

import time

from benchmarks.bars import Bar
from benchmarks.memory.vectors import batches
from selfsteer.memory import Memory

AT_ONCE = 500
LEAST = 2_000


def inserted(memory: Memory, count: int) -> Bar:
    """Store `count` vectors, in transactions of 500; making them is not timed, their ids are."""
    seconds = cpu = 0.0
    for vectors in batches(count, AT_ONCE):
        began, cpu_began = time.perf_counter(), time.process_time()
        memory.put_vectors(vectors)
        seconds += time.perf_counter() - began
        cpu += time.process_time() - cpu_began
    return Bar(
        f"insert of {count:,} vectors, a second",
        count / seconds,
        LEAST,
        note=f"{AT_ONCE} a transaction; {1000 * cpu / count:.2f} ms of CPU each",
    )
