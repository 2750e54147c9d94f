"""What the exact neighbours of a direction cost, against the product that they need at least."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from statistics import median

import numpy as np

from benchmarks.bars import Bar
from benchmarks.interleave import interleaved_seconds, stopwatch
from benchmarks.memory.vectors import FINGERPRINT, WIDTH
from selfsteer.memory import Memory
from selfsteer.memory.neighbours import Neighbours

LAYER, LIMIT = 1, 10
MOST_MS, MOST_RATIO = 60.0, 1.3


def nearest(memory: Memory, count: int) -> Iterator[Bar]:
    """Ten neighbours of a new direction each time, the first question apart: it reads the file."""
    rng = np.random.default_rng(1)
    found = Neighbours(memory)
    direction = rng.standard_normal(WIDTH, dtype=np.float32)
    began = time.perf_counter()
    found.nearest(direction, FINGERPRINT, LAYER, LIMIT)
    first = time.perf_counter() - began
    # Of the same size and layout: what the numbers are makes no difference to the product.
    rows = rng.standard_normal((count, WIDTH), dtype=np.float32)
    taken: list[float] = []

    def question() -> float:
        asked = rng.standard_normal(WIDTH, dtype=np.float32)
        seconds = stopwatch(lambda: found.nearest(asked, FINGERPRINT, LAYER, LIMIT))()
        taken.append(seconds)
        return seconds

    ratio = interleaved_seconds(question, stopwatch(lambda: rows @ direction))
    what = f"top {LIMIT} of {count:,} x {WIDTH:,}"
    threads = os.environ.get("OMP_NUM_THREADS", f"{os.cpu_count()}")
    yield Bar(
        f"{what}, median ms",
        1000 * median(taken),
        MOST_MS,
        at_least=False,
        note=f"threads: {threads}; the first question took {first:.0f} s",
    )
    yield Bar(
        f"{what}, over a matrix-vector product",
        ratio.value,
        MOST_RATIO,
        at_least=False,
        note=str(ratio),
    )
