"""Which files were written about what is in memory, so that forgetting can reach them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from selfsteer.memory.connection import Connection, now

FileKind = Literal["backup", "checkpoints", "events", "page", "vector"]


class WrittenFile(BaseModel):
    """A file, and a run or a user that it is about; neither for one that holds everything."""

    model_config = ConfigDict(frozen=True)

    kind: FileKind
    path: Path
    run_id: str | None
    user_id: str | None


class WrittenFiles:
    """The files that memory knows of."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def note(
        self,
        kind: FileKind,
        path: Path,
        *,
        run_ids: Sequence[str] = (),
        user_ids: Sequence[str] = (),
    ) -> None:
        """Put a file on record, before or after it is written; a later file takes its place.

        Checkpoints of many runs share a file, so there the earlier runs stay on record too. A
        memory that is opened for reading only keeps no record.

        Args:
            run_ids, user_ids: what it is about.
        """
        if self._connection.read_only:
            return
        place = str(path.resolve())
        about: list[tuple[str | None, str | None]] = [
            *((run, None) for run in run_ids),
            *((None, user) for user in user_ids),
        ]
        with self._connection.write() as db:
            if kind != "checkpoints":
                db.execute("DELETE FROM written_files WHERE path = ?", [place])
            for run, user in about or [(None, None)]:
                db.execute(
                    "INSERT INTO written_files (kind, path, run_id, user_id, written) "
                    "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    [kind, place, run, user, now()],
                )

    def drop(self, path: Path) -> None:
        """Take a file off the record that is not there after all."""
        if self._connection.read_only:
            return
        with self._connection.write() as db:
            db.execute("DELETE FROM written_files WHERE path = ?", [str(path.resolve())])

    def all(self) -> list[WrittenFile]:
        """Every file on record, oldest first; once for each run and user that it is about."""
        rows = self._connection.query(
            "SELECT kind, path, run_id, user_id FROM written_files ORDER BY id"
        )
        return [WrittenFile.model_validate(row) for row in rows]
