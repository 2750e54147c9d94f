"""A copy of the whole memory, made while it is in use."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfsteer.errors import MemoryFileError
from selfsteer.memory.connection import Connection
from selfsteer.memory.store import Memory


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write to, which becomes ``path`` when the block ends well.

    Raises:
        MemoryFileError: ``path`` is there already, or cannot be written.
    """
    if os.path.lexists(path):
        raise MemoryFileError(f"{path} exists; choose another name.")
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield half
        os.replace(half, path)
    except OSError as error:
        raise MemoryFileError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        half.unlink(missing_ok=True)


def back_up(memory: Memory, path: Path) -> int:
    """Copy the memory, as it is at one moment, to a new file, and put that on record.

    Whoever is forgotten later is taken out of the copies on record too. A memory that is opened for
    reading only is copied all the same, without a record.

    Returns:
        the size of the copy in bytes.

    Raises:
        MemoryFileError: the file is there already, cannot be written, or there is no space.
    """
    with new_file(path) as half:
        copy = Connection(half, read_only=False)
        # Before the copy is there, so that no kill leaves one that is not on record; what lay there
        # once is gone, and forgetting whom that was about must not delete the copy.
        memory.files.drop(path)
        memory.files.note("backup", path)
        try:
            memory.connection.copy_to(copy)
        except BaseException:
            memory.files.drop(path)
            raise
        finally:
            copy.close()
    return path.stat().st_size
