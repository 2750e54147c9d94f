"""Where the graph keeps its place: a file beside the memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from selfsteer.errors import MemoryFileError


def checkpoints_file(database: Path) -> Path:
    """Where the checkpoints of all runs of a memory are."""
    return database.with_name(f"{database.name}.checkpoints")


@contextmanager
def checkpoints(database: Path) -> Iterator[SqliteSaver]:
    """Checkpoints in a file beside the database; only plain JSON values are read back.

    Raises:
        MemoryFileError: the file is damaged or cannot be written.
    """
    path = checkpoints_file(database)
    try:
        with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
            yield SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=[]))
    except sqlite3.Error as error:
        raise MemoryFileError(
            f"The checkpoints {path} cannot be used ({error}); make room on the disk, or delete "
            "the file if it is damaged: a run that was stopped then begins anew."
        ) from error


def threads(saver: SqliteSaver) -> set[str]:
    """The runs that have checkpoints."""
    with saver.cursor(transaction=False) as cursor:
        return {row[0] for row in cursor.execute("SELECT DISTINCT thread_id FROM checkpoints")}
