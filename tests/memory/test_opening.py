"""Opening a memory: creating, reopening, and every file that cannot be one."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

import pytest

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Memory
from selfsteer.memory.migrations import SCHEMA_VERSION


def damage(path: Path, start: int, junk: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(junk)


def refusal(path: Path, *, read_only: bool = False) -> str:
    with pytest.raises(MemoryFileError) as caught:
        Memory.open(path, read_only=read_only)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_a_new_file_is_created_in_wal_mode_with_strict_tables(path: Path) -> None:
    Memory.open(path).close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert raw.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        lax = raw.execute(
            "SELECT name FROM pragma_table_list WHERE type = 'table' AND NOT strict "
            "AND name NOT LIKE 'sqlite%' AND name NOT LIKE '_sqlite%'"
        ).fetchall()
    assert lax == []


def test_what_was_stored_is_there_after_reopening(path: Path) -> None:
    with Memory.open(path) as memory:
        name = memory.put_blob("generations", b"[]")
    with Memory.open(path) as memory:
        assert memory.get_blob("generations", name) == b"[]"


def test_foreign_keys_are_enforced(memory: Memory) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        memory.runs.add_event("no such run", "note", {})


def test_an_empty_file_becomes_a_memory(path: Path) -> None:
    path.touch()
    with Memory.open(path) as memory:
        assert memory.runs.all() == []


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "missing" in refusal(tmp_path / "missing" / "memory.db")
    assert not (tmp_path / "missing").exists()


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


def test_an_impossible_name(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(tmp_path / ("x" * 5000))


def test_a_newer_version_is_left_alone(path: Path) -> None:
    Memory.open(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    assert "newer selfsteer" in refusal(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_left_alone(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE recipes (name TEXT)")
    raw.close()
    before = path.read_bytes()
    assert "another program" in refusal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database", b"\0" * 4096, os.urandom(4096)])
def test_a_file_of_something_else(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "not a selfsteer memory" in refusal(path)
    assert path.read_bytes() == content


def test_damage_behind_the_header_is_named(path: Path) -> None:
    with Memory.open(path) as memory:
        for number in range(50):
            memory.put_blob("generations", f"[{number}]".encode() * 200)
    damage(path, 4096, b"\xff" * (path.stat().st_size - 4096))
    assert "damaged" in refusal(path)


def test_damage_met_while_reading_is_named(path: Path) -> None:
    with Memory.open(path) as memory:
        name = memory.put_blob("generations", b"x" * 100_000)
    with sqlite3.connect(path) as raw:
        root = raw.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'artefacts'"
        ).fetchone()[0]
    damage(path, (root - 1) * 4096, b"\xff" * 4096)
    with Memory.open(path) as memory, pytest.raises(MemoryFileError, match="damaged"):
        memory.get_blob("generations", name)


def test_no_space_is_said_and_nothing_is_half_written(memory: Memory) -> None:
    database = memory._connection.db
    pages = memory._connection.pragma("page_count")
    database.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(MemoryFileError, match="no space left"):
        memory.put_blob("generations", b"x" * 1_000_000)
    assert memory.artefacts("generations") == []
    database.execute(f"PRAGMA max_page_count = {pages + 4000}")
    memory.put_blob("generations", b"x" * 1_000_000)


def test_a_read_only_memory_reads_but_does_not_write(path: Path) -> None:
    with Memory.open(path) as memory:
        name = memory.put_blob("generations", b"[]")
    with Memory.open(path, read_only=True) as memory:
        assert memory.get_blob("generations", name) == b"[]"
        with pytest.raises(MemoryFileError, match="read-only"):
            memory.put_blob("generations", b"[1]")


def test_reading_only_needs_a_file_that_is_up_to_date(path: Path) -> None:
    assert "no memory at" in refusal(path, read_only=True)
    path.touch()
    assert "open it once for writing" in refusal(path, read_only=True)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX files")
@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_no_permission(mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.db"
        Memory.open(path).close()
        path.chmod(mode)
        Path(folder).chmod(0o555)
        was = os.geteuid()
        if was == 0:  # root may do anything, so do it as nobody
            os.seteuid(65534)
        try:
            sentence = refusal(path)
        finally:
            if was == 0:
                os.seteuid(0)
            Path(folder).chmod(0o755)
    assert "cannot be" in sentence
