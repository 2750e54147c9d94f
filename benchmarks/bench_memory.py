"""`make bench-memory`: how fast memory is with 100,000 vectors, and what it survives.

One thread. The files lie in a folder of their own under `build` while it runs: about 2 GB.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.bars import Bar, figure, publish
from benchmarks.memory.inserting import inserted
from benchmarks.memory.killing import killed
from benchmarks.memory.nearest import nearest
from benchmarks.memory.users import current
from selfsteer.memory import Memory

VECTORS = 100_000
BUILD = Path("build")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and publish; returns the exit code."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.bench_memory", description=__doc__
    ).parse_args(argv)
    torch.set_num_threads(1)
    BUILD.mkdir(exist_ok=True)
    bars = []
    with TemporaryDirectory(prefix="bench-memory-", dir=BUILD) as folder:
        for bar in rows(Path(folder)):
            bars.append(bar)
            print(f"{bar.name}: {figure(bar.value)} ({bar.note})", file=sys.stderr, flush=True)
    return publish("memory", bars)


def rows(folder: Path) -> Iterator[Bar]:
    """Every row of the table, as it is measured."""
    yield from killed(folder / "killed.db")
    with Memory.open(folder / "vectors.db") as memory:
        yield inserted(memory, VECTORS)
        yield from nearest(memory, VECTORS)
        yield from current(memory, VECTORS)


if __name__ == "__main__":
    sys.exit(main())
