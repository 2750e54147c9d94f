"""Checkpoints: beside the database, of plain values, and gone once a run has ended."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.errors import MemoryFileError
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import EASY, Scripted, settings, stopped_at

pytestmark = pytest.mark.usefixtures("few_probes")


def checkpoints_of(memory: Memory) -> Path:
    return memory.path.with_name(f"{memory.path.name}.checkpoints")


def counted(memory: Memory) -> list[int]:
    with sqlite3.connect(checkpoints_of(memory)) as connection:
        return [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("checkpoints", "writes")
        ]


def only_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and only_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(only_plain, value))
    return value is None or type(value) in (str, int, float, bool)


@pytest.mark.parametrize("kind", ["evaluated", "reported"])
def test_checkpoints_lie_beside_the_database_and_hold_plain_values_only(
    talker: Student, memory: Memory, kind: str
) -> None:
    run = stopped_at(kind, talker, memory)
    unserialised: list[Any] = []

    class Watching(JsonPlusSerializer):
        def loads_typed(self, data: tuple[str, bytes]) -> Any:
            value = super().loads_typed(data)
            unserialised.append(value)
            return value

    with sqlite3.connect(checkpoints_of(memory)) as connection:
        saver = SqliteSaver(connection, serde=Watching(allowed_msgpack_modules=[]))
        saved = list(saver.list({"configurable": {"thread_id": run.id}}))
        types = connection.execute("SELECT type FROM checkpoints UNION SELECT type FROM writes")
        assert {row[0] for row in types} <= {"msgpack", "null"}
    assert len(saved) > 3
    assert len(unserialised) > len(saved)
    states = [checkpoint.checkpoint["channel_values"] for checkpoint in saved]
    assert all(only_plain(state) for state in states)
    resume_run(run.id, talker, Scripted(), memory)
    assert counted(memory) == [0, 0]


def test_the_end_of_one_run_leaves_the_checkpoints_of_another(
    talker: Student, memory: Memory
) -> None:
    stopped = stopped_at("extracted", talker, memory)
    run_goal(talker, Scripted(), memory, settings(goal="sound grumpy"))
    assert counted(memory)[0] > 0
    told: list[str] = []
    resume_run(stopped.id, talker, Scripted(), memory, listener=lambda kind, _: told.append(kind))
    assert told[0] == "search_space"  # it tells of its vectors no second time
    assert counted(memory) == [0, 0]


def test_damaged_checkpoints_are_named_in_one_sentence(talker: Student, memory: Memory) -> None:
    checkpoints_of(memory).write_bytes(b"no database" * 100)
    with pytest.raises(MemoryFileError, match="checkpoints") as raised:
        run_goal(talker, Scripted(), memory, settings(thresholds=EASY))
    assert "\n" not in str(raised.value)
    [run] = memory.runs.all()
    assert run.status == "failed"
    checkpoints_of(memory).unlink()
    assert resume_run(run.id, talker, Scripted(), memory).status == "accepted"
