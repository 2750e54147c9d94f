"""Which files were written about what is in memory, so that forgetting can reach them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from selfsteer.memory.connection import Connection, now
from selfsteer.memory.records import to_json

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
        """Put a file on record, beside what it is about already.

        A memory that is opened for reading only keeps no record.

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
            for run, user in about or [(None, None)]:
                db.execute(
                    "INSERT INTO written_files (kind, path, run_id, user_id, written) "
                    "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET kind = excluded.kind",
                    [kind, place, run, user, now()],
                )

    @contextmanager
    def writing(
        self,
        kind: FileKind,
        paths: Sequence[Path],
        *,
        run_ids: Sequence[str] = (),
        user_ids: Sequence[str] = (),
    ) -> Iterator[None]:
        """Keep the record of files that are made in this block, or written over.

        Within it they are about what they were about and what they will be about, since a kill or
        a failure may leave either; once it ended well, about the latter alone.

        Args:
            run_ids, user_ids: what they will be about; neither takes them off the record.
        """
        if run_ids or user_ids:
            for path in paths:
                self.note(kind, path, run_ids=run_ids, user_ids=user_ids)
        yield
        if self._connection.read_only:
            return
        about = [to_json(list(run_ids)), to_json(list(user_ids))]
        with self._connection.write() as db:
            for path in paths:
                db.execute(
                    "DELETE FROM written_files WHERE path = ? "
                    "AND coalesce(run_id, '') NOT IN (SELECT value FROM json_each(?)) "
                    "AND coalesce(user_id, '') NOT IN (SELECT value FROM json_each(?))",
                    [str(path.resolve()), *about],
                )

    def known(self, path: Path) -> bool:
        """Whether a file is on record."""
        sql = "SELECT 1 FROM written_files WHERE path = ? LIMIT 1"
        return bool(self._connection.query(sql, [str(path.resolve())]))

    def drop(self, path: Path) -> None:
        """Take a file off the record that is not there."""
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
