"""`make bench-loop`: what the loop achieves on Pocket, by the oracle, against a grid and controls.

Eight goals that `--seed` draws, or all 24 with `--full`, each at three seeds. What is done lies in
`build/bench-loop`, under the student and the code that it was done with, so that an interrupted
benchmark goes on where it was, and one of other code begins anew.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

import selfsteer
from benchmarks.bars import FOLDER as BARS
from benchmarks.bars import Bar, publish
from benchmarks.loop import distillation
from benchmarks.loop.comparison import by_goal, differences
from benchmarks.loop.goals import ASKED, drawn, name_of
from benchmarks.loop.study import study
from selfsteer.app.allocator import keep_freed_memory
from selfsteer.steering.metrics.intervals import wilson
from selfsteer.steering.model import Student

FOLDER = Path("build/bench-loop")
DRAWN = 8
CURVE = BARS / "distillation.svg"


def main(argv: Sequence[str] | None = None) -> int:
    """Study the goals and publish; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_loop", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all goals, not a draw of them")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    options = parser.parse_args(argv)
    goals = list(ASKED) if options.full else drawn(DRAWN, options.seed)
    # They end in any order, and bootstraps depend on it.
    studies = sorted(_watched(goals), key=lambda done: name_of(done["asked"]))
    Console(width=120).print(by_goal(studies))
    print(*differences(studies), sep="\n")
    print_distillation(studies)
    return publish("bench-loop", bars(studies))


def _watched(goals: Sequence[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """The studies, with a bar on a terminal and a line for each goal elsewhere."""
    plain = not sys.stderr.isatty()
    studies = track(_studies(goals), "Studying every goal", total=len(goals), disable=plain)
    for count, done in enumerate(studies, start=1):
        if plain:
            took = f"{name_of(done['asked'])}, {done['seconds'] / 60:.1f} minutes"
            print(f"{count} of {len(goals)}: {took}", file=sys.stderr, flush=True)
        yield done


def _studies(goals: Sequence[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """The studies as they are done, one process for each core."""
    spawned = get_context("spawn")  # a fork would inherit the threads' locks
    with ProcessPoolExecutor(os.cpu_count(), spawned, _begin) as pool:
        for done in as_completed([pool.submit(_one, asked) for asked in goals]):
            yield done.result()


def _begin() -> None:
    """What a process begins with: a small student gains little from a second thread."""
    torch.set_num_threads(1)
    keep_freed_memory()


def _one(asked: dict[str, str]) -> dict[str, Any]:
    student = _student()
    return study(student, asked, FOLDER / f"{student.fingerprint[:12]}-{_code()}")


@cache
def _code() -> str:
    """Eight hexadecimal digits of all code that the results depend on."""
    digest = hashlib.sha256()
    for folder in (Path(selfsteer.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".txt", ".md"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


@cache
def _student() -> Student:
    return Student.load("pocket")


def bars(studies: Sequence[dict[str, Any]]) -> list[Bar]:
    """The figures and their limits."""
    runs = [(each["grid"]["meets"], row) for each in studies for row in each["self"]]
    can = [row for meets, row in runs if meets]
    cannot = [row for meets, row in runs if not meets and not row["met"]]
    good = sum(row["accepted"] and row["met"] for row in can)
    false = sum(row["accepted"] and not row["met"] for _, row in runs)
    kept = [row["retention"] for _, row in runs if row["accepted"]]
    fakes = [each["controls"] for each in studies]
    tried = sum(fake["n"] for fake in fakes)
    minutes = sum(each["seconds"] for each in studies) / 60 / (os.cpu_count() or 1)
    return [
        Bar(
            "goals that the grid meets",
            sum(each["grid"]["meets"] for each in studies) / len(studies),
            20 / 24,
            note=f"of {len(studies)}",
        ),
        Bar("of those: accepted and met", good / max(1, len(can)), 0.9, note=_rate(good, len(can))),
        Bar(
            "goals that nothing meets: accepted",
            sum(row["accepted"] for row in cannot),
            0,
            at_least=False,
            note=f"of {len(cannot)} runs",
        ),
        Bar(
            "false accepts",
            false / len(runs),
            2 / 72,
            at_least=False,
            note=_rate(false, len(runs)),
        ),
        Bar(
            "meaningless vectors accepted",
            # Nothing tried is nothing shown.
            sum(fake["accepted"] for fake in fakes) / tried if tried else 1.0,
            1 / 48,
            at_least=False,
            note=_rate(sum(f["accepted"] for f in fakes), tried),
        ),
        *_reach_bars(studies),
        Bar("retention, median accepted", median(kept) if kept else 0.0, 0.95),
        Bar("retention, worst accepted", min(kept, default=0.0), 0.90),
        Bar(
            "minutes for eight goals",
            minutes * DRAWN / len(studies),
            55.0,
            at_least=False,
            note=f"work of {len(studies)} goals on {os.cpu_count()} cores",
        ),
    ]


def _reach_bars(studies: Sequence[dict[str, Any]]) -> list[Bar]:
    """Candidates until one is near the grid's best; never counts as more than were looked at."""
    rows = [row for each in studies if each["grid"]["meets"] for row in each["reach"]]
    if not rows:
        return []
    never = float("inf")
    loop = median(row["loop"] or never for row in rows)
    random = median(row["random"] or never for row in rows)
    size = rows[0]["grid"]
    return [
        Bar(
            "candidates to 95 % of the grid's best, as a share of the grid",
            loop / size,
            0.25,
            at_least=False,
            note=f"median {loop:g} of {size}; never in {sum(not r['loop'] for r in rows)}",
        ),
        Bar(
            "fewer than random search needs",
            # Where neither arrives the loop needs no fewer, which `never - never` would not say.
            -never if loop == never else random - loop,
            1.0,
            note=f"random: median {random:g}; never in {sum(not r['random'] for r in rows)}",
        ),
    ]


def print_distillation(studies: Sequence[dict[str, Any]]) -> None:
    """How many distinct vectors the accepted goals need, with a plot beside the bars."""
    directions = [each["direction"] for each in studies if each["direction"] is not None]
    if len(directions) < distillation.FEWEST:
        return
    found = distillation.distil(np.array(directions))
    distillation.plot(found, CURVE)
    print(f"{distillation.described(found)}; {CURVE}")


def _rate(hits: int, n: int) -> str:
    if not n:
        return "none"
    low, high = wilson(hits, n)
    return f"{hits} of {n} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
