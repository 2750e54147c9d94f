"""How time and memory grow: with texts, layers, width, and the number of plans."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

import matplotlib

from benchmarks.bars import Bar
from benchmarks.speed.extraction import against_peer, extract, threads
from benchmarks.speed.generation import FAINT, ours, unit_vector
from benchmarks.speed.workers import worker
from benchmarks.speed.world import FOLDER, MIDDLE, TEXTS, dataset, load_world, texts, write_world
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan

matplotlib.use("Agg")
import matplotlib.pyplot as plt

REPEATS = 3
# MiB that a peak may differ by from run to run; one more number for every text, layer and dimension
# would be 11 for a thousand texts.
FLAT = 4.0
# glibc gives what is freed back to the system, so that a peak is what is in use, not also the holes
# in what was.
AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072"}


class Curve(NamedTuple):
    """Seconds, mebibytes, or times faster, against one size."""

    name: str
    unit: str
    sizes: Sequence[int]
    values: Sequence[float]

    def __str__(self) -> str:
        values = ", ".join(f"{n}: {v:.2f}" for n, v in zip(self.sizes, self.values, strict=True))
        return f"{self.name} ({self.unit}): {values}"


def curves(student: Student) -> Iterator[Curve]:
    """Everything that is plotted."""

    def with_texts(count: int) -> None:
        extract_vector(student, dataset(texts(count)), selector="last", reduce="last")

    def with_plans(count: int) -> None:
        vectors = [unit_vector(student, number) for number in range(count)]
        plans = [Plan.single(v, i % student.n_layers, FAINT) for i, v in enumerate(vectors)]
        ours(student, [plans[i % count] for i in range(32)], 32)

    yield _curve("texts", with_texts, (64, 128, 256, 512))
    yield _curve("layers read", lambda n: extract(student, list(range(n))), (1, 3, 6, 9, 12))
    yield _widths((128, 256, 512))
    yield _curve("plans in a batch of 32", with_plans, (1, 2, 4, 8, 16, 32))
    yield _threads(student, (1, 2))
    yield from _memory((64, 256, 1024))


def memory_bars(found: Sequence[Curve]) -> list[Bar]:
    """What sixteen times the texts add to the peak of the paths that should not grow."""
    return [
        Bar(
            f"peak memory, {curve.name.partition(': ')[2]}: MiB more for {curve.sizes[-1]} texts",
            curve.values[-1] - curve.values[0],
            FLAT,
            at_least=False,
            note=", ".join(f"{n}: {v:.1f}" for n, v in zip(curve.sizes, curve.values, strict=True)),
        )
        for curve in found
        if curve.name.partition(": ")[2] in ("mean path", "covariance path")
    ]


def plot(found: Sequence[Curve], path: Path) -> None:
    """One small panel for each curve, as SVG."""
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.5), layout="constrained")
    panels = {curve.name.split(":")[0]: [] for curve in found}  # type: ignore[var-annotated]
    for curve in found:
        panels[curve.name.split(":")[0]].append(curve)
    for panel, (name, several) in zip(axes.flat, panels.items(), strict=False):
        for curve in several:
            label = curve.name.partition(": ")[2]
            panel.plot(curve.sizes, curve.values, "o-", label=label or None)
        panel.set_ylim(bottom=0)
        panel.set_xlabel(name)
        panel.set_ylabel(several[0].unit)
        if len(several) > 1:
            panel.legend(frameon=False)
    for panel in axes.flat[len(panels) :]:
        panel.remove()
    figure.savefig(path, metadata={"Date": None})


def _curve(name: str, work: Callable[[int], None], sizes: Sequence[int]) -> Curve:
    return Curve(name, "seconds", sizes, [_seconds(lambda n=n: work(n)) for n in sizes])  # type: ignore[misc]


def _seconds(work: Callable[[], None]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


def _widths(sizes: Sequence[int]) -> Curve:
    values = []
    for width in sizes:
        student = load_world(write_world(FOLDER / f"width-{width}", width=width))
        values.append(_seconds(lambda student=student: extract(student, [MIDDLE])))  # type: ignore[misc]
    return Curve("width", "seconds", sizes, values)


def _threads(student: Student, sizes: Sequence[int]) -> Curve:
    """One middle layer of half the texts against repeng without pads, both with so many threads."""
    values = []
    for count in sizes:
        with threads(count), worker("repeng", FOLDER, count) as peer:
            ratio, _ = against_peer(student, peer, 1, [MIDDLE], "texts", TEXTS // 2)
        values.append(ratio.value)
    return Curve("threads", "times faster than repeng", sizes, values)


def _memory(sizes: Sequence[int]) -> Iterator[Curve]:
    """Peak extra memory, each measured in a process of its own; two run at once, as each has one
    thread and is not timed.
    """
    paths = {
        "mean": "mean path",
        "second": "covariance path",
        "report": "per-layer report",
    }
    with ThreadPoolExecutor(2) as pool:
        peaks = {kind: [pool.submit(_peak, kind, n) for n in sizes] for kind in paths}
        for kind, label in paths.items():
            values = [peak.result() for peak in peaks[kind]]
            yield Curve(f"texts (memory): {label}", "MiB over the model", sizes, values)


def _peak(kind: str, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.speed.memory", str(FOLDER), kind, str(count)]
    env = os.environ | AT_ONCE
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return float(json.loads(done.stdout)["mib"])
