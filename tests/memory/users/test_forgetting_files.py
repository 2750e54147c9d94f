"""Forgetting beyond the file: events, pages, exported vectors, checkpoints and backups."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from selfsteer.agents.checkpoints import checkpoints, checkpoints_file
from selfsteer.memory import Memory, Run
from selfsteer.memory.backup import back_up
from selfsteer.memory.check import check
from selfsteer.memory.export import events_file, write_events
from tests.memory.users.cast import FINGERPRINT, direction, give, says
from tests.memory.users.traces import numbers, traces


def start(memory: Memory, goal: str, user_id: str | None = None) -> Run:
    return memory.runs.start(
        goal,
        **{"student": "tiny", "fingerprint": FINGERPRINT, "controller": "self", "seed": 0},
        settings={},
        user_id=user_id,
    )


@pytest.fixture
def users(memory: Memory) -> Memory:
    """Two users with a vector each."""
    for seed, (name, word) in enumerate((("anna", "zanzibar"), ("bert", "timbuktu"))):
        memory.users.add(name, consents=True)
        names = memory.users.observe(name, [says(f"I dream of {word}.", scope="shared")])
        give(memory, name, direction(seed), names)
    return memory


def test_events_pages_and_vectors_of_the_user(users: Memory, path: Path) -> None:
    annas, other = start(users, "zanzibar", "anna"), start(users, "grumpy")
    pages = {run.id: path.with_name(f"{run.id}.html") for run in (annas, other)}
    for run in (annas, other):
        users.runs.add_event(run.id, "note", {"goal": run.goal})
        write_events(users, run.id)
        users.files.note("page", pages[run.id], run_ids=[run.id])
        pages[run.id].write_text(run.goal)
    exported = path.with_name("v.gguf")
    users.files.note("vector", exported, user_ids=["anna"])
    direction(0).save(exported)
    half = path.with_name(f".{exported.name}.abcd.tmp")
    half.write_text("zanzibar")
    report = users.users.forget("anna")
    assert {Path(name).name for name in report.files} == {
        f"{annas.id}.jsonl",
        f"{annas.id}.html",
        "v.gguf",
    }
    assert traces(path.parent, ["zanzibar", annas.id, numbers(direction(0))]) == []
    assert pages[other.id].read_text() == "grumpy" and events_file(users, other.id).is_file()
    assert {file.run_id for file in users.files.all()} == {other.id}


def test_a_file_that_was_written_over_is_about_what_it_says_now(users: Memory, path: Path) -> None:
    annas, other = start(users, "zanzibar", "anna"), start(users, "grumpy")
    page = path.with_name("page.html")
    for run in (annas, other):
        with users.files.writing("page", [page], run_ids=[run.id]):
            page.write_text(run.goal)
    assert users.users.forget("anna").files == ()
    assert page.read_text() == "grumpy"


def test_checkpoints_of_runs_for_the_user(users: Memory, path: Path) -> None:
    annas, ended, other = (start(users, "x", who) for who in ("anna", "anna", None))
    file = checkpoints_file(path)
    with checkpoints(path) as saver:
        saver.setup()
        for run in (annas, ended, other):
            users.files.note("checkpoints", file, run_ids=[run.id])
            word = "grumpy" if run == other else "zanzibar"
            saver.conn.execute(
                "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint) "
                "VALUES (?, '', '1', ?)",
                [run.id, f"{word} {'x' * 5000}".encode()],
            )
            saver.conn.execute(
                "INSERT INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, "
                "channel, value) VALUES (?, '', '1', 't', 0, 'c', ?)",
                [run.id, word.encode()],
            )
        saver.conn.commit()
        saver.delete_thread(ended.id)
    assert traces(path.parent, [b"zanzibar"])
    report = users.users.forget("anna")
    assert report.cleaned == (str(file),)
    assert traces(path.parent, ["zanzibar", annas.id, ended.id]) == []
    with sqlite3.connect(file) as raw:
        assert raw.execute("SELECT thread_id FROM checkpoints").fetchall() == [(other.id,)]
        assert raw.execute("SELECT thread_id FROM writes").fetchall() == [(other.id,)]
    raw.close()


def test_checkpoints_that_are_damaged_are_named(users: Memory, path: Path) -> None:
    run = start(users, "x", "anna")
    file = checkpoints_file(path)
    users.files.note("checkpoints", file, run_ids=[run.id])
    file.write_bytes(b"nonsense" * 1000)
    [sentence] = users.users.forget("anna").remains
    assert str(file) in sentence and "cannot be cleared" in sentence


def test_backups_and_their_backups(users: Memory, path: Path) -> None:
    first, second = path.with_name("first.db"), path.with_name("second.db")
    run = start(users, "zanzibar", "anna")
    back_up(users, first)
    with Memory.open(first) as copy:
        give(copy, "anna", direction(7), method="elsewhere")
        back_up(copy, second)
    users.users.observe("anna", [says("Only zanzibar.", 1)])
    report = users.users.forget("anna")
    assert set(report.cleaned) == {str(first), str(second)} and report.remains == ()
    gone = ["anna", "zanzibar", run.id, *map(numbers, (direction(0), direction(7)))]
    assert traces(path.parent, gone) == []
    for place in (first, second):
        with Memory.open(place) as copy:
            assert [user.id for user in copy.users.all()] == ["bert"]
            assert copy.get_vector(direction(1).id) == direction(1)
            assert check(copy).faults == ()


def test_a_backup_of_before_somebody_was_linked_to_a_run(users: Memory, path: Path) -> None:
    """Its own rows do not say whose the run is; those of the memory do."""
    child = direction(5, parents=[direction(3)])
    for vector in (direction(3), child):
        users.put_vector(vector)
    run = start(users, "zanzibar")
    copy = path.with_name("copy.db")
    back_up(users, copy)
    users.connection.db.execute("INSERT INTO run_users VALUES (?, 'anna')", [run.id])
    give(users, "anna", direction(3))
    users.users.forget("anna")
    gone = ["zanzibar", run.id, *map(numbers, (direction(3), child))]
    assert traces(path.parent, gone) == []


def test_a_folder_that_was_moved_with_all_that_lies_in_it(memory: Memory, path: Path) -> None:
    old, new = path.parent / "old", path.parent / "new"
    old.mkdir()
    with Memory.open(old / "m.db") as opened:
        opened.users.add("anna")
        run = start(opened, "zanzibar", "anna")
        opened.runs.add_event(run.id, "note", {"goal": "zanzibar"})
        write_events(opened, run.id)
        back_up(opened, old / "b.db")
        opened.files.note("checkpoints", checkpoints_file(opened.path), run_ids=[run.id])
    with sqlite3.connect(checkpoints_file(old / "m.db")) as raw:
        raw.execute("CREATE TABLE checkpoints (thread_id TEXT, checkpoint BLOB)")
        raw.execute("INSERT INTO checkpoints VALUES (?, 'zanzibar')", [run.id])
    raw.close()
    old.rename(new)
    with Memory.open(new / "m.db") as opened:
        assert opened.users.forget("anna").remains == ()
    assert traces(new, ["zanzibar", "anna", run.id]) == []


def test_backups_that_cannot_be_reached_are_named(users: Memory, path: Path) -> None:
    moved, strange = path.with_name("moved.db"), path.with_name("strange.db")
    for place in (moved, strange):
        back_up(users, place)
    away = shutil.move(moved, path.with_name("away.db"))
    strange.write_bytes(b"no database at all" * 100)
    report = users.users.forget("anna")
    assert len(report.remains) == 2 and report.cleaned == ()
    assert f"The backup {moved} is not there; if it was moved" in report.remains[0]
    assert str(strange) in report.remains[1]
    assert not moved.exists()
    assert [name for name in traces(path.parent, ["zanzibar"]) if "away.db" not in name] == []
    Path(away).unlink()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX files")
def test_a_page_that_cannot_be_deleted_is_named(
    users: Memory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = path.with_name("page.html")
    page.write_text("zanzibar")
    users.files.note("page", page, user_ids=["anna"])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert users.users.forget("anna").remains == (f"{page} cannot be deleted: Permission denied.",)


@pytest.fixture
def closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be searched, whoever runs the tests."""
    folder = path.with_name("closed")
    folder.mkdir()
    stat = Path.stat

    def refuse(self: Path, **more: bool) -> os.stat_result:
        if folder in self.parents:
            raise PermissionError(13, "Permission denied")
        return stat(self, **more)

    monkeypatch.setattr(Path, "stat", refuse)
    return folder


def test_files_of_others_are_not_looked_for(users: Memory, closed: Path) -> None:
    other = start(users, "grumpy", "bert")
    users.files.note("page", closed / "bert.html", user_ids=["bert"])
    users.files.note("events", closed / "bert.jsonl", run_ids=[other.id])
    users.files.note("checkpoints", closed / "steps", run_ids=[other.id])
    report = users.users.forget("anna")
    assert report.remains == () and report.observations == 1
    assert len(users.files.all()) == 3


def test_files_in_a_folder_that_is_closed_are_named(users: Memory, closed: Path) -> None:
    run = start(users, "zanzibar", "anna")
    users.files.note("page", closed / "anna.html", user_ids=["anna"])
    users.files.note("events", closed / "anna.jsonl", run_ids=[run.id])
    users.files.note("checkpoints", closed / "steps", run_ids=[run.id])
    users.files.note("backup", closed / "copy.db")
    report = users.users.forget("anna")
    assert sorted(report.remains) == [
        f"{closed / 'anna.html'} cannot be deleted: Permission denied.",
        f"{closed / 'anna.jsonl'} cannot be deleted: Permission denied.",
        f"{closed / 'copy.db'} cannot be cleared: Permission denied.",
        f"{closed / 'steps'} cannot be cleared: Permission denied.",
    ]
    assert (report.observations, report.files, report.cleaned) == (1, (), ())


def test_a_backup_whose_making_was_cut_short(users: Memory, path: Path) -> None:
    users.files.note("backup", path.with_name("b.db"))
    path.with_name(".b.db.12345678.tmp").write_text("zanzibar")
    assert users.users.forget("anna").remains == ()
    assert traces(path.parent, ["zanzibar"]) == []
