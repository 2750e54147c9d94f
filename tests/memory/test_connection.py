"""Waiting for other processes where SQLite itself does not, and being interrupted meanwhile."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
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


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests run in the background of a shell that shuts it off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


def test_an_interruption_while_it_waits_to_write_leaves_nothing_open(
    held: tuple[Path, sqlite3.Connection], heard: None
) -> None:
    path, other = held
    interrupt = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
    release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    with closing(other), closing(Connection(path, read_only=False)) as own:
        interrupt.start()
        release.start()
        with pytest.raises(KeyboardInterrupt), own.write() as db:
            db.execute("INSERT INTO t VALUES (1)")
        release.join()
        assert not own.db.conn.in_transaction
        with own.write() as db:
            db.execute("INSERT INTO t VALUES (2)")
        assert other.execute("SELECT a FROM t").fetchall() == [(2,)]


def test_what_an_interruption_left_open_can_be_abandoned(tmp_path: Path) -> None:
    with closing(Connection(tmp_path / "memory.db", read_only=False)) as own:
        own.abandon()
        own.db.execute("CREATE TABLE t (a)")
        own.db.conn.execute("BEGIN IMMEDIATE")
        own.db.execute("INSERT INTO t VALUES (1)")
        own.abandon()
        assert not own.db.conn.in_transaction
        assert own.query("SELECT a FROM t") == []
