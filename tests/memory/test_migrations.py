"""The numbered schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlite_utils import Database

from selfsteer.memory import Memory
from selfsteer.memory.migrations import MIGRATIONS, SCHEMA_VERSION

STEPS = MIGRATIONS.pending(Database(memory=True))


def test_the_version_is_the_number_of_steps() -> None:
    assert len(STEPS) == SCHEMA_VERSION


def test_steps_are_numbered_and_say_why() -> None:
    for number, step in enumerate(STEPS, start=1):
        assert re.match(rf"m{number:03}_", step.name)
        assert len((step.fn.__doc__ or "").split()) > 10


@pytest.mark.parametrize("done", range(SCHEMA_VERSION))
def test_a_file_of_any_older_version_is_brought_up_to_date(path: Path, done: int) -> None:
    old = Database(path)
    with old.atomic():
        MIGRATIONS.apply(old, stop_before=STEPS[done].name)
        old.execute(f"PRAGMA user_version = {done}")
    if done == 0:
        old.execute("DROP TABLE _sqlite_migrations")
    old.close()
    with Memory.open(path) as memory:
        assert memory.runs.all() == []
        assert memory._connection.pragma("user_version") == SCHEMA_VERSION
        assert MIGRATIONS.pending(memory._connection.db) == []


def test_calls_of_an_older_file_are_kept(path: Path) -> None:
    old = Database(path)
    with old.atomic():
        MIGRATIONS.apply(old, stop_before=STEPS[4].name)
        old.execute("PRAGMA user_version = 4")
        old.execute(
            "INSERT INTO runs (id, goal, student, fingerprint, controller, seed, settings, status, "
            "started) VALUES ('r', 'g', 's', 'f', 'c', 1, '{}', 'stopped', 't')"
        )
        old.execute(
            "INSERT INTO ledger (key, run_id, step, role, attempt, request_hash, request, status, "
            "response, sent) VALUES ('k', 'r', 'propose/0', 'propose', 1, 'h', '{}', 'parsed', "
            "'reply', 't')"
        )
    old.close()
    with Memory.open(path) as memory:
        [entry] = memory.ledger.entries("r")
        assert (entry.status, entry.response, entry.usage) == ("parsed", "reply", None)
        assert memory.runs.get("r").status == "stopped"


def test_a_step_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(db: Database) -> None:
        db.execute("CREATE TABLE half (x TEXT)")
        raise KeyboardInterrupt

    monkeypatch.setattr(STEPS[-1], "fn", fail)
    with pytest.raises(KeyboardInterrupt):
        Memory.open(path)
    monkeypatch.undo()
    assert Database(path).table_names() == []
    Memory.open(path).close()
