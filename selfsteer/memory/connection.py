"""One SQLite file: opening it, asking it, writing to it, and what can go wrong in plain words."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from selfsteer.errors import MemoryFileError

PATIENCE = 30.0
"""Seconds that a process waits for another one to finish writing."""

_NAP = 0.01  # seconds between two tries

# Extended result codes hold the primary one in their lowest byte.
_PRIMARY_CODE = 0xFF
_MISHAPS = {
    sqlite3.SQLITE_FULL: "There is no space left for the memory {path}; free some and go on.",
    sqlite3.SQLITE_NOTADB: (
        "{path} is not a selfsteer memory or is damaged; choose another file or restore a backup."
    ),
    sqlite3.SQLITE_CORRUPT: "The memory {path} is damaged ({error}); restore it from a backup.",
    sqlite3.SQLITE_READONLY: "The memory {path} cannot be written; it or its folder is read-only.",
    sqlite3.SQLITE_PERM: "The memory {path} cannot be used: permission denied.",
    sqlite3.SQLITE_CANTOPEN: "The memory {path} cannot be opened; check the path and permissions.",
    sqlite3.SQLITE_BUSY: (
        f"The memory {{path}} stayed in use by another process for {PATIENCE:.0f} s; try again."
    ),
    sqlite3.SQLITE_LOCKED: "The memory {path} is locked ({error}); try again.",
    sqlite3.SQLITE_IOERR: "Reading or writing the memory {path} failed ({error}); check the disk.",
    sqlite3.SQLITE_TOOBIG: "Something is too large for the memory {path} ({error}).",
}


def now() -> str:
    """The time as ISO text in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Connection:
    """A connection that threads of one process may share.

    Every statement runs under one lock, so that the rows of a transaction never mix with those of
    another thread.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Open ``path``, and create it unless ``read_only``.

        Raises:
            MemoryFileError: the folder or the file does not exist, or cannot be opened.
        """
        self.path = path
        self.read_only = read_only
        self._lock = threading.RLock()
        _check_place(path, must_exist=read_only)
        mode = "ro" if read_only else "rwc"
        with self._plain_words():
            raw = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode={mode}",
                uri=True,
                timeout=PATIENCE,
                check_same_thread=False,
            )
        self.db = Database(raw, execute_plugins=False)
        with self._plain_words():
            self.db.execute("PRAGMA foreign_keys = ON")

    def query(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[dict[str, Any]]:
        """The rows that a SELECT gives."""
        values = dict(parameters) if isinstance(parameters, Mapping) else list(parameters)
        with self._lock, self._plain_words():
            return list(self.db.query(sql, values))

    @contextmanager
    def write(self) -> Iterator[Database]:
        """One transaction: all of it is on disk when the block ends, or none of it ever.

        Takes the write lock at the start, because a transaction that reads first and then wants to
        write is refused at once, without waiting, when another process wrote in between. Blocks
        within a block join the outer one.

        Raises:
            MemoryFileError: no space, no permission, a damaged file, or no turn in time.
        """
        with self._lock, self._plain_words():
            if self.db.conn.in_transaction:
                with self.db.atomic():
                    yield self.db
                return
            try:
                # Within: Ctrl-C may strike when this has waited for its turn, and just begun.
                self.db.conn.execute("BEGIN IMMEDIATE")
                yield self.db
                self.db.conn.execute("COMMIT")
            except BaseException:
                # BaseException: Ctrl-C must not leave a transaction open either.
                self.db.rollback()
                raise

    def abandon(self) -> None:
        """Roll back a transaction of this thread that nothing can end any more.

        An interruption that strikes between the start of a ``with`` statement and its block leaves
        one open, and whatever is written from then on would be lost with it.
        """
        with self._lock, self._plain_words():
            self.db.rollback()

    def use_write_ahead_log(self) -> None:
        """Let readers and one writer work side by side; the file remembers it.

        SQLite refuses the change at once, without waiting, while another process has the file
        open for its own change: so the waiting is done here.
        """
        patient_until = time.monotonic() + PATIENCE
        with self._lock, self._plain_words():
            while True:
                try:
                    return self.db.enable_wal()
                except sqlite3.OperationalError as error:
                    busy = error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
                    if not busy or time.monotonic() > patient_until:
                        raise
                time.sleep(_NAP)

    def vacuum(self) -> bool:
        """Write the file anew without its empty pages, so that what was deleted is gone from it.

        Returns:
            whether it is gone from the log too; not while another process reads the file.

        Raises:
            MemoryFileError: no space for the second copy, or the file stays in use.
        """
        with self._lock, self._plain_words():
            self.db.vacuum()
            # Until then the log holds the new pages and the file the old ones.
            busy: int = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy

    def copy_to(self, other: Connection) -> None:
        """Copy the whole file, as it is at one moment, while others read and write it.

        Raises:
            MemoryFileError: either file fails; the sentence names the copy.
        """
        with self._lock, other._plain_words():
            self.db.conn.backup(other.db.conn)

    def load_extension(self, path: str) -> bool:
        """Load an extension of SQLite for this connection.

        Returns:
            whether it is loaded; not where SQLite or this Python was built without extensions, nor
            where the file is not one for this machine.
        """
        with self._lock:
            try:
                self.db.conn.enable_load_extension(True)
                try:
                    self.db.conn.load_extension(path)
                finally:
                    self.db.conn.enable_load_extension(False)
            except (AttributeError, sqlite3.Error):
                return False
        return True

    def pragma(self, name: str) -> Any:
        """The value of a PRAGMA, also of one that sets it (``name = value``)."""
        with self._lock, self._plain_words():
            return self.db.execute(f"PRAGMA {name}").fetchone()[0]

    def close(self) -> None:
        """Close the file; nothing is lost if this is never called."""
        with self._lock:
            self.db.close()

    @contextmanager
    def _plain_words(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as error:
            raise MemoryFileError(
                f"The memory {self.path} stores text in UTF-8 only, and this is not: {error}."
            ) from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            sentence = None if code is None else _MISHAPS.get(code & _PRIMARY_CODE)
            if sentence is None:
                raise
            raise MemoryFileError(sentence.format(path=self.path, error=error)) from error


def _check_place(path: Path, *, must_exist: bool) -> None:
    """SQLite says only "unable to open database file"; say which part of the path is wrong."""
    try:
        if path.is_dir():
            raise MemoryFileError(f"{path} is a folder; name a file for the memory.")
        if not path.parent.is_dir():
            raise MemoryFileError(
                f"The folder {path.parent} for the memory does not exist; create it first."
            )
        if must_exist and not path.exists():
            raise MemoryFileError(f"There is no memory at {path}.")
    except OSError as error:
        raise MemoryFileError(f"The memory {path} cannot be opened: {error.strerror}.") from error
