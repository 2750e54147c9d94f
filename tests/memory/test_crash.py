"""A writer that is killed loses nothing that it was told is stored."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Memory

WRITER = """
import sys
from selfsteer.memory import Memory
memory = Memory.open(sys.argv[1])
run = memory.runs.start(
    "goal", student="s", fingerprint="f", controller="self", seed=0, settings={}
)
print(run.id, flush=True)
number = 0
while True:
    blob = memory.put_blob("generations", f"{run.id} {number}".encode() * 200)
    memory.runs.add_event(run.id, "wrote", {"blob": blob}, key=str(number))
    print(number, flush=True)
    number += 1
"""

OPENER = """
import sys
from selfsteer.memory import Memory
print("ready", flush=True)
sys.stdin.readline()
with Memory.open(sys.argv[1]) as memory:
    memory.put_blob("generations", sys.argv[2].encode())
"""


def python(code: str, *arguments: str, **pipes: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        **pipes,  # type: ignore[call-overload]
    )


def test_kill_9_loses_no_acknowledged_write(path: Path) -> None:
    Memory.open(path).close()
    writers = [python(WRITER, str(path)) for _ in range(2)]
    runs = [writer.stdout.readline().strip() for writer in writers if writer.stdout]
    # However busy the machine is, each has written before it dies.
    first = [writer.stdout.readline().strip() for writer in writers if writer.stdout]
    time.sleep(random.uniform(0.1, 0.4))
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
    rest = [writer.communicate()[0].split() for writer in writers]
    told = [[one, *others] for one, others in zip(first, rest, strict=True)]
    with Memory.open(path) as memory:
        for run_id, numbers in zip(runs, told, strict=True):
            events = {event.key: event.payload["blob"] for event in memory.runs.events(run_id)}
            # The line that the kill cut short, if any, was not told in full.
            for number in numbers[:1] + numbers[1:-1]:
                data = memory.get_blob("generations", str(events[number]))
                assert data == f"{run_id} {number}".encode() * 200
        assert memory._connection.pragma("integrity_check") == "ok"
        assert memory._connection.query("PRAGMA foreign_key_check") == []


def test_processes_may_create_a_memory_at_once(path: Path) -> None:
    openers = [python(OPENER, str(path), str(n), stdin=subprocess.PIPE) for n in range(4)]
    for opener in openers:
        assert opener.stdout and opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin
        opener.stdin.write("\n")
        opener.stdin.flush()
    assert [opener.wait(timeout=60) for opener in openers] == [0] * len(openers)
    with Memory.open(path) as memory:
        assert len(memory.artefacts("generations")) == len(openers)
    for opener in openers:
        opener.communicate()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_transaction_leaves_nothing(
    memory: Memory, error: type[BaseException]
) -> None:
    with pytest.raises(error), memory._connection.write():
        memory.put_blob("generations", b"[]")
        raise error
    assert memory.artefacts("generations") == []
    memory.put_blob("generations", b"[]")


def test_a_reader_is_not_held_up_by_a_writer(path: Path, memory: Memory) -> None:
    memory.put_blob("generations", b"[]")
    with memory._connection.write() as db, Memory.open(path, read_only=True) as reader:
        db.execute("DELETE FROM artefacts")
        assert len(reader.artefacts("generations")) == 1


def test_a_writer_that_waits_too_long_says_so(
    path: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfsteer.memory.connection.PATIENCE", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(MemoryFileError, match="in use by another process"):
        Memory.open(path)
    holder.close()
