"""Upkeep while another process writes."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from selfsteer.memory import Memory
from selfsteer.memory.backup import back_up
from selfsteer.memory.check import check
from selfsteer.memory.collect import collect

# Stores a blob and refers to it in one breath, as a node of the loop does, again and again.
WRITER = """
import sys
from selfsteer.memory import Memory
with Memory.open(sys.argv[1]) as memory:
    run = memory.runs.start("g", student="", fingerprint="", controller="", seed=0, settings={})
    for number in range(150):
        name = memory.put_generations([{"n": number}])
        memory.runs.add_event(run.id, "note", {"generations_id": name})
        print(name, flush=True)
    memory.runs.finish(run.id, "accepted", seconds=1.0)
"""


def test_nothing_in_use_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    Memory.open(path).close()
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    written = [writer.stdout.readline().strip()]
    copies = 0
    with Memory.open(path) as memory:
        while line := writer.stdout.readline():
            written.append(line.strip())
            if len(written) % 50 == 0:
                assert collect(memory, timedelta(seconds=-1)) == []
                assert check(memory).faults == ()
                back_up(memory, tmp_path / f"copy{copies}.db")
                copies += 1
        assert writer.wait() == 0
        assert (len(written), copies) == (150, 3)
        assert {kept.id for kept in memory.artefacts("generations")} == set(written)
    for number in range(copies):
        with Memory.open(tmp_path / f"copy{number}.db") as memory:
            assert check(memory).faults == ()
