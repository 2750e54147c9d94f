"""Several processes write to one memory and are killed at random; nothing they told of may be lost.

A kill is SIGKILL, which no process can answer: it hits writers while they wait for their turn,
while they write and between two writes, as their lives of random length have it.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from benchmarks.bars import Bar
from benchmarks.memory import writer
from selfsteer.memory import Memory
from selfsteer.memory.check import check

WRITERS, WRITES = 8, 1_000
MEAN_LIFE = 2.0  # seconds


@dataclass(frozen=True)
class Outcome:
    """What is left of the writes.

    Attributes:
        acknowledged: writes that were told of, over all writers.
        lost: those of them that are not there as they were written.
        faults: what the check of the memory finds.
        kills: how many processes were killed.
        seconds: from the first write to the last.
    """

    acknowledged: int
    lost: int
    faults: int
    kills: int
    seconds: float


def killed(path: Path) -> Iterator[Bar]:
    """Eight writers of a thousand writes each."""
    found = survive(path, WRITERS, WRITES, MEAN_LIFE, seed=0)
    yield Bar(
        "acknowledged writes lost to kill -9",
        found.lost,
        0,
        at_least=False,
        note=f"of {found.acknowledged:,} by {WRITERS} processes; {found.kills} kills in "
        f"{found.seconds:.0f} s",
    )
    yield Bar("faults that the check finds after them", found.faults, 0, at_least=False)


def survive(path: Path, writers: int, writes: int, mean_life: float, seed: int) -> Outcome:
    """Let the writers write, kill them, start them again until they are done, and look at the file.

    Args:
        mean_life: of a process, in seconds; lives are drawn from the exponential distribution.
        seed: of the lives.
    """
    with Memory.open(path) as memory:
        for number in range(writers):
            memory.runs.start(
                "to be killed",
                student="",
                fingerprint="",
                controller="",
                seed=number,
                settings={},
                run_id=writer.run_of(number),
            )
    began = time.monotonic()
    with ThreadPoolExecutor(writers) as pool:
        lives = [
            pool.submit(_lives, path, number, writes, mean_life, Random(f"{seed}-{number}"))
            for number in range(writers)
        ]
        told = [life.result() for life in lives]
    seconds = time.monotonic() - began
    with Memory.open(path) as memory:
        lost = sum(
            not writer.kept(memory, number, write, name)
            for number, (names, _) in enumerate(told)
            for write, name in enumerate(names)
        )
        faults = len(check(memory).faults)
    acknowledged, kills = sum(len(names) for names, _ in told), sum(kills for _, kills in told)
    return Outcome(acknowledged, lost, faults, kills, seconds)


def _lives(
    path: Path, number: int, writes: int, mean_life: float, rng: Random
) -> tuple[list[str], int]:
    """One writer until all its writes are acknowledged: their names, and how often it was killed.

    Raises:
        RuntimeError: the writer ended by itself before that.
    """
    # A fork of this process would inherit its open files and its threads' locks.
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([writer.__name__])
    names: list[str] = []
    kills = 0
    while len(names) < writes:
        told, tell = forks.Pipe(duplex=False)
        process = forks.Process(
            target=writer.write, args=(path, number, range(len(names), writes), tell), daemon=True
        )
        process.start()
        tell.close()  # then the writer holds the only end, and its death ends the pipe
        until = time.monotonic() + rng.expovariate(1 / mean_life)
        names += _words(told, until)
        # The status of one that was killed says nothing: the forks' server may have missed it.
        hit = len(names) < writes
        if hit:
            process.kill()
            names += _words(told, None)
        process.join()
        if not hit and process.exitcode:
            raise RuntimeError(f"A writer failed by itself, with exit code {process.exitcode}.")
        kills += hit and process.exitcode != 0
    return names, kills


def _words(told: Connection, until: float | None) -> list[str]:
    """What a writer says until a time, or all that it has said when it is dead."""
    words: list[str] = []
    try:
        while told.poll(None if until is None else max(0.0, until - time.monotonic())):
            words.append(told.recv())
    except EOFError:
        pass
    return words
