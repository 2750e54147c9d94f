"""Which files were written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Memory, Run
from selfsteer.memory.backup import back_up
from selfsteer.memory.connection import Connection
from selfsteer.memory.export import write_events


def test_files_are_on_record_once_for_each_that_they_are_about(
    memory: Memory, path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("anna", "bert"):
        memory.users.add(name)
    monkeypatch.chdir(path.parent)
    for _ in range(2):
        memory.files.note("page", Path("page.html"), run_ids=[run.id], user_ids=["anna", "bert"])
    told = [(file.kind, file.path, file.run_id, file.user_id) for file in memory.files.all()]
    place = Path(os.path.realpath("page.html"))
    assert told == [
        ("page", place, run.id, None),
        ("page", place, None, "anna"),
        ("page", place, None, "bert"),
    ]


def test_checkpoints_are_shared_and_other_files_are_written_over(
    memory: Memory, path: Path, start_run: Callable[..., Run]
) -> None:
    runs = [start_run(memory), start_run(memory)]
    for run in runs:
        memory.files.note("checkpoints", path.with_name("c"), run_ids=[run.id])
        with memory.files.writing("page", [path.with_name("p")], run_ids=[run.id]):
            pass
    told = [(file.kind, file.run_id) for file in memory.files.all()]
    assert told == [
        ("checkpoints", runs[0].id),
        ("checkpoints", runs[1].id),
        ("page", runs[1].id),
    ]


def test_a_file_that_is_written_over_is_about_both_until_it_is(memory: Memory, path: Path) -> None:
    for name in ("anna", "bert"):
        memory.users.add(name)
    page, other = path.with_name("p"), path.with_name("q")

    def about() -> list[tuple[str, str | None]]:
        return [(file.path.name, file.user_id) for file in memory.files.all()]

    with memory.files.writing("page", [page, other], user_ids=["anna"]):
        assert about() == [("p", "anna"), ("q", "anna")]
    with (
        pytest.raises(KeyboardInterrupt),
        memory.files.writing("vector", [page], user_ids=["bert"]),
    ):
        raise KeyboardInterrupt
    assert about() == [("p", "anna"), ("q", "anna"), ("p", "bert")]
    with memory.files.writing("page", [page], user_ids=["bert"]):
        pass
    assert about() == [("q", "anna"), ("p", "bert")]
    assert {file.kind for file in memory.files.all()} == {"page"}
    with memory.files.writing("vector", [page]):
        assert memory.files.known(page)
    assert about() == [("q", "anna")] and not memory.files.known(page)


def test_a_new_backup_is_not_what_lay_there_before(memory: Memory, path: Path) -> None:
    memory.users.add("anna")
    copy = path.with_name("copy.db")
    memory.files.note("vector", copy, user_ids=["anna"])
    back_up(memory, copy)
    assert [(file.kind, file.user_id) for file in memory.files.all()] == [("backup", None)]


def test_events_and_backups_are_on_record(memory: Memory, path: Path, run: Run) -> None:
    events, copy = write_events(memory, run.id), path.with_name("copy.db")
    back_up(memory, copy)
    assert [(file.kind, file.path) for file in memory.files.all()] == [
        ("events", events),
        ("backup", copy),
    ]


def test_a_backup_that_failed_is_not(
    memory: Memory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryFileError("no space")

    monkeypatch.setattr(Connection, "copy_to", fail)
    with pytest.raises(MemoryFileError, match="no space"):
        back_up(memory, path.with_name("copy.db"))
    assert memory.files.all() == []


def test_a_memory_that_is_read_only_keeps_no_record(memory: Memory, path: Path) -> None:
    with Memory.open(path, read_only=True) as opened:
        back_up(opened, path.with_name("copy.db"))
        with opened.files.writing("page", [path.with_name("p")]):
            pass
    assert memory.files.all() == []
