"""`make bench`: what reading and writing activations costs, as ratios of interleaved runs.

Prints the bars, writes them to `build/bars/bench.json`, and the table with the plot of growth to
`docs/benchmarks.md` where `--write` is given. Peers run in environments of their own, which are
made the first time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import torch
from transformers.utils.logging import disable_progress_bar

from benchmarks.bars import Bar, publish
from benchmarks.speed import extraction, generation, growth
from benchmarks.speed.workers import Worker, worker
from benchmarks.speed.world import load_world, write_world
from selfsteer.steering.model import Student

Found = TypeVar("Found")
THREADS = 2  # as torch takes of the machine that the limits are meant for
PEERS = ("repeng", "steering-vectors")
PAGE, PLOT = Path("docs/benchmarks.md"), Path("docs/benchmarks.svg")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and publish; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("--write", action="store_true", help="also write docs/benchmarks.md")
    options = parser.parse_args(argv)
    torch.set_num_threads(THREADS)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = write_world()
    student = load_world(folder)
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(peer, folder, THREADS)) for peer in PEERS]
        bars = list(told(rows(student, workers), lambda b: f"{b.name}: {b.value:.3f} ({b.note})"))
    found = list(told(growth.curves(student), str))
    bars += growth.memory_bars(found)
    code = publish("bench", bars)
    for curve in found:
        print(curve)
    if options.write:
        write_page(bars, found)
    return code


def told(measured: Iterable[Found], line: Callable[[Found], str]) -> Iterator[Found]:
    """Each as it is found, with a line about it to whoever waits."""
    for each in measured:
        print(line(each), file=sys.stderr, flush=True)
        yield each


def rows(student: Student, workers: Sequence[Worker]) -> Iterator[Bar]:
    """Every row of the table, as it is measured."""
    yield from extraction.rows(student, workers)
    yield from generation.against_transformers(student)
    yield generation.against_equal_plans(student)
    yield generation.against_a_loop(Student.load("pocket"), "Pocket", 3.0)
    yield generation.against_a_loop(student, "12 layers", 2.0)
    yield from generation.against_peers(student, workers)


def write_page(bars: Sequence[Bar], found: Sequence[growth.Curve]) -> None:
    """The table and the plot, for people who do not run it."""
    lines = [
        f"| {bar.name} | {bar.value:.2f} | {'≥' if bar.at_least else '≤'} {bar.limit:g} | "
        f"{'yes' if bar.met else '**no**'} | {bar.note} |"
        for bar in bars
    ]
    growth.plot(found, PLOT)
    PAGE.write_text(
        "# Speed\n\n"
        f"Written by `make bench ARGS=--write`; {THREADS} threads for us and for the\n"
        "peers alike (the floor: one), float32, on a CPU. Ratios are medians of interleaved pairs\n"
        "with their 95 % intervals. The model is a random Llama of 12 layers, 256 wide, with a\n"
        "vocabulary of 32,000; the texts have 9 to 200 tokens.\n\n"
        "| work | ratio | limit | met | against, interval |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\n![How it grows]({PLOT.name})\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    sys.exit(main())
