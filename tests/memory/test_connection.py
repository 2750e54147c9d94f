"""Waiting for other processes where SQLite itself does not wait."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from selfsteer.errors import MemoryFileError
from selfsteer.memory import connection as module
from selfsteer.memory.connection import Connection


@pytest.fixture
def held(tmp_path: Path) -> tuple[Path, sqlite3.Connection]:
    """A new database that another connection has to itself."""
    path = tmp_path / "memory.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE t (a)")
    other.execute("BEGIN EXCLUSIVE")
    return path, other


def test_the_change_to_a_write_ahead_log_waits_its_turn(
    held: tuple[Path, sqlite3.Connection],
) -> None:
    path, other = held
    own = Connection(path, read_only=False)
    own.db.execute("PRAGMA busy_timeout = 0")
    release = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    release.start()
    own.use_write_ahead_log()
    release.join()
    assert own.pragma("journal_mode") == "wal"
    own.close()
    other.close()


def test_patience_ends(
    held: tuple[Path, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    path, other = held
    refused = pytest.raises(MemoryFileError, match="stayed in use by another process")
    with closing(other), closing(Connection(path, read_only=False)) as own, refused:
        own.use_write_ahead_log()
