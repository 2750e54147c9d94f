"""Copies of a memory that is in use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Memory
from selfsteer.memory.backup import back_up
from selfsteer.memory.check import check
from selfsteer.memory.connection import Connection


def test_a_copy_holds_everything_and_nothing_of_later(memory: Memory, path: Path) -> None:
    first = memory.put_blob("generations", b"[1]")
    copy = path.with_name("copy.db")
    assert back_up(memory, copy) == copy.stat().st_size
    second = memory.put_blob("generations", b"[2]")
    with Memory.open(copy) as opened:
        assert [kept.id for kept in opened.artefacts("generations")] == [first]
        assert check(opened).faults == ()
    assert {kept.id for kept in memory.artefacts("generations")} == {first, second}


def test_the_copy_is_made_while_another_writes(memory: Memory, path: Path) -> None:
    first = memory.put_blob("generations", b"[1]")
    copy = path.with_name("copy.db")
    source = Memory.open(path, read_only=True)  # only the record of the copy would have to wait
    with source, Memory.open(path) as other, other.connection.write():
        other.put_blob("generations", b"[2]")
        back_up(source, copy)
    with Memory.open(copy) as opened:
        assert [kept.id for kept in opened.artefacts("generations")] == [first]


def test_a_memory_that_is_read_only_is_copied_too(memory: Memory, path: Path) -> None:
    name = memory.put_blob("generations", b"[1]")
    copy = path.with_name("copy.db")
    with Memory.open(path, read_only=True) as opened:
        back_up(opened, copy)
    with Memory.open(copy) as opened:
        assert opened.get_blob("generations", name) == b"[1]"


def test_nothing_is_replaced_and_nothing_left_behind(memory: Memory, path: Path) -> None:
    copy = path.with_name("copy.db")
    copy.write_text("precious")
    with pytest.raises(MemoryFileError, match="exists"):
        back_up(memory, copy)
    assert copy.read_text() == "precious"
    dangling = path.with_name("link.db")
    dangling.symlink_to("nowhere")
    with pytest.raises(MemoryFileError, match="exists"):
        back_up(memory, dangling)
    with pytest.raises(MemoryFileError, match="does not exist"):
        back_up(memory, path.parent / "none" / "copy.db")
    assert [file.name for file in path.parent.iterdir() if file.name.endswith(".tmp")] == []


def test_a_full_disk_leaves_no_part_of_a_copy(
    memory: Memory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put_blob("generations", b"x" * 1_000_000)
    copy_to = Connection.copy_to

    def onto_a_small_disk(source: Connection, other: Connection) -> None:
        other.db.execute("PRAGMA max_page_count = 10")
        copy_to(source, other)

    monkeypatch.setattr(Connection, "copy_to", onto_a_small_disk)
    with pytest.raises(MemoryFileError, match="no space left"):
        back_up(memory, path.with_name("copy.db"))
    assert [file.name for file in path.parent.iterdir() if "copy" in file.name] == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX files")
def test_a_folder_that_cannot_be_written(memory: Memory) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        was = os.geteuid()
        if was == 0:  # root may do anything, so do it as nobody
            os.seteuid(65534)
        try:
            with pytest.raises(MemoryFileError, match="cannot be"):
                back_up(memory, Path(folder) / "copy.db")
        finally:
            if was == 0:
                os.seteuid(0)
            Path(folder).chmod(0o755)
