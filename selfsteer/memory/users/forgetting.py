"""Forgetting a user: in this file, in the files that it lists, and in its backups.

The files come first and the rows last, so that whoever is killed in between is still known, and can
be forgotten again. A listed backup is a memory of its own: it is opened and the user is taken out
of it, with its own list of files, as from this one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from glob import escape
from pathlib import Path

from selfsteer.errors import MemoryFileError
from selfsteer.memory.connection import PATIENCE, Connection
from selfsteer.memory.migrations import prepare
from selfsteer.memory.users.erasing import erase
from selfsteer.memory.users.reach import Reach, reach_of
from selfsteer.memory.users.records import Forgotten
from selfsteer.memory.written_files import WrittenFile, WrittenFiles


@dataclass
class _Account:
    """What was done to files, and what was left undone, in sentences; each once."""

    files: dict[str, None] = field(default_factory=dict)
    cleaned: dict[str, None] = field(default_factory=dict)
    remains: dict[str, None] = field(default_factory=dict)

    def attempt(self, path: Path, act: Callable[[Path], bool], done: dict[str, None]) -> None:
        """Do something to a file; what prevents it is a sentence of the account.

        Args:
            act: says whether there was anything to do.
        """
        try:
            if act(path):
                done[str(path)] = None
        except MemoryFileError as error:
            self.remains[str(error)] = None
        except OSError as error:
            what = "deleted" if done is self.files else "cleared"
            self.remains[f"{path} cannot be {what}: {error.strerror}."] = None
        except sqlite3.Error as error:
            self.remains[f"The checkpoints {path} cannot be cleared: {error}."] = None


def forget(connection: Connection, user_id: str) -> Forgotten:
    """Remove a user who is known, and everything that came from their data.

    Raises:
        MemoryFileError: the file cannot be written; the user is still known then.
    """
    account, tables = _Account(), {"observations": 0, "user_vectors": 0}
    while True:
        reach = reach_of(connection, [user_id])
        _clear_files(connection, user_id, reach, {connection.path.resolve()}, account)
        with connection.write():
            if reach_of(connection, [user_id]) == reach:  # else something came meanwhile
                for table in tables:
                    sql = f"SELECT count(*) AS number FROM {table} WHERE user_id = ?"
                    tables[table] = connection.query(sql, [user_id])[0]["number"]
                gone = erase(connection, reach)
                break
    try:
        _scrub(connection)
    except MemoryFileError as error:
        account.remains[str(error)] = None
    return Forgotten(
        user_id=user_id,
        observations=tables["observations"],
        versions=tables["user_vectors"],
        artefacts=tuple(sorted(gone)),
        runs=tuple(sorted(reach.runs)),
        stale=tuple(sorted(reach.pooled)),
        touched=tuple(sorted(reach.touched)),
        files=tuple(account.files),
        cleaned=tuple(account.cleaned),
        remains=tuple(account.remains),
    )


def _clear_files(
    connection: Connection, user_id: str, reach: Reach, seen: set[Path], account: _Account
) -> None:
    """Delete the files about the user and the runs, and clean those that hold others too."""
    checkpoints: dict[Path, list[str]] = {}
    for file in WrittenFiles(connection).all():
        theirs = file.run_id in reach.runs or file.user_id in reach.users
        if file.kind != "backup" and not theirs:
            continue
        path = _place(file, connection.path)
        if file.kind == "backup":
            if path.resolve() not in seen:
                seen.add(path.resolve())
                clear = partial(
                    _clear_backup, user_id=user_id, reach=reach, seen=seen, account=account
                )
                account.attempt(path, clear, account.cleaned)
        elif file.kind == "checkpoints":
            checkpoints.setdefault(path, []).append(str(file.run_id))
        else:
            account.attempt(path, _delete, account.files)
    for path, runs in checkpoints.items():
        account.attempt(path, partial(_clear_checkpoints, runs=runs), account.cleaned)


def _place(file: WrittenFile, memory: Path) -> Path:
    """Where a file is, also if the folder of the memory was moved with what lies beside it."""
    beside = {
        "backup": memory.parent / file.path.name,
        "checkpoints": memory.parent / file.path.name,
        "events": memory.parent / file.path.parent.name / file.path.name,
    }.get(file.kind, file.path)
    return beside if _may_exist(beside) and not _may_exist(file.path) else file.path


def _may_exist(path: Path) -> bool:
    """Whether a file is there, or cannot be told not to be, as in a folder that is closed."""
    try:
        return path.exists()
    except OSError:
        return True


def _halves(path: Path) -> list[Path]:
    """What a kill left of a file that was being written."""
    return [*path.parent.glob(f".{escape(path.name)}.*tmp")]


def _delete(path: Path) -> bool:
    halves = _halves(path)
    there = path.exists() or bool(halves)
    for half in halves:
        half.unlink()
    path.unlink(missing_ok=True)
    return there


def _clear_backup(
    path: Path, user_id: str, reach: Reach, seen: set[Path], account: _Account
) -> bool:
    halves = _halves(path)
    for half in halves:
        half.unlink()
    if not path.exists():
        if halves:
            return True  # its making was cut short
        raise MemoryFileError(
            f"The backup {path} is not there; if it was moved, it still holds the user."
        )
    copy = Connection(path, read_only=False)
    try:
        prepare(copy)
        there = reach_of(copy, [user_id], runs=reach.runs, artefacts=reach.artefacts)
        _clear_files(copy, user_id, there, seen, account)
        if not there.empty:
            erase(copy, there)
            _scrub(copy)
    finally:
        copy.close()
    return True


def _scrub(connection: Connection) -> None:
    """Leave no old page behind, neither in the file nor in its log.

    Raises:
        MemoryFileError: somebody else has the file open.
    """
    if not connection.vacuum():
        raise MemoryFileError(
            f"The log of {connection.path} is in use by another process; what was removed is gone "
            "from it as soon as the last one closes it."
        )


def _clear_checkpoints(path: Path, runs: Collection[str]) -> bool:
    """Take runs out of a file of LangGraph, whose tables name them `thread_id`.

    Threads that ended were deleted before; the vacuum takes away what that left on the pages.
    """
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as file:
        file.execute("PRAGMA secure_delete = ON")
        tables = file.execute(
            "SELECT tables.name FROM pragma_table_list AS tables, "
            "pragma_table_info(tables.name) AS columns "
            "WHERE tables.type = 'table' AND columns.name = 'thread_id'"
        ).fetchall()
        for (table,) in tables:
            file.executemany(f"DELETE FROM {table} WHERE thread_id = ?", [[run] for run in runs])
        file.execute("VACUUM")
        busy, *_ = file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise MemoryFileError(
            f"The checkpoints {path} are in use by another process; what was removed is gone from "
            "them as soon as the last one closes them."
        )
    return True
