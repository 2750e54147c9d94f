"""Memory: one SQLite file that holds everything that was learned and how."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from selfsteer.memory.artefacts import Artefacts
from selfsteer.memory.connection import Connection
from selfsteer.memory.ledger import Ledger
from selfsteer.memory.migrations import prepare
from selfsteer.memory.recall import Recall
from selfsteer.memory.runs import Runs
from selfsteer.memory.users import Users
from selfsteer.memory.written_files import WrittenFiles


class Memory(Artefacts, Recall):
    """What selfsteer knows: artefacts and remembered plans, with runs and the ledger beside them.

    Every method that writes is one transaction: when it returns, its rows survive a kill of the
    process; when it raises, nothing is written. Threads may share a memory, and several processes
    may use one file at once.

    Attributes:
        path: the file.
        connection: to it, for the modules of this package.
        runs: the history of runs.
        ledger: the calls that cost money.
        users: those who have vectors of their own.
        files: that were written about what is here.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.connection = connection
        self.path = connection.path
        self.runs = Runs(connection)
        self.ledger = Ledger(connection)
        self.users = Users(connection)
        self.files = WrittenFiles(connection)

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False) -> Memory:
        """Open a memory; create the file, or bring it up to date, unless ``read_only``.

        Raises:
            MemoryFileError: the folder does not exist, no permission, no space, a damaged file,
                another program's database, or one of a newer selfsteer.
        """
        connection = Connection(Path(path), read_only=read_only)
        try:
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def close(self) -> None:
        """Close the file; nothing is lost if this is never called."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
