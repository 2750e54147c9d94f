"""A memory for commands that write files, which it keeps a record of."""

from __future__ import annotations

from pathlib import Path

from selfsteer.app.loading import open_memory
from selfsteer.app.output import literal, stderr
from selfsteer.errors import MemoryFileError
from selfsteer.memory.store import Memory


def open_for_files(db: Path | None) -> Memory:
    """The memory; with a warning one that is read only, where it cannot be written.

    Raises:
        MemoryFileError: there is none, or it cannot be read.
    """
    open_memory(db, read_only=True).close()  # a file is never made for this
    try:
        return open_memory(db)
    except MemoryFileError as error:
        stderr().print(
            literal(
                "warning: the file is not put on record, so `user forget` does not know what is in "
                f"it: {error}"
            )
        )
        return open_memory(db, read_only=True)
