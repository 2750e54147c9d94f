"""Processes that write to one memory and are killed at random, as `make bench-memory` has it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from benchmarks.memory import writer
from benchmarks.memory.killing import survive
from selfsteer.memory import Memory


def test_no_acknowledged_write_is_lost_to_a_kill(path: Path) -> None:
    found = survive(path, writers=3, writes=60, mean_life=0.15, seed=0)
    assert found.acknowledged == 3 * 60
    assert found.kills > 0
    assert (found.lost, found.faults) == (0, 0)


def test_a_lost_write_would_be_noticed(path: Path) -> None:
    survive(path, writers=1, writes=6, mean_life=60, seed=0)
    with Memory.open(path) as memory:
        lost = {0: writer.vector(0, 0).id, 1: memory.put_generations(writer.replies(0, 1)), 2: "2"}
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM artefacts WHERE id IN (?, ?)", [lost[0], lost[1]])
        raw.execute("DELETE FROM events WHERE key = '2'")
    with Memory.open(path) as memory:
        for number, name in lost.items():
            assert not writer.kept(memory, 0, number, name)
        assert writer.kept(memory, 0, 3, writer.vector(0, 3).id)
        assert writer.kept(memory, 0, 5, "5")
