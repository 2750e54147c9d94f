"""What the commands work with: the memory, the student and vectors, from the names that were given.

Imports stand inside the functions: torch takes seconds, and `selfsteer --help` should not.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from selfsteer.app.settings import AppSettings
from selfsteer.errors import StudentError, VectorError

if TYPE_CHECKING:
    from selfsteer.memory.store import Memory
    from selfsteer.steering.model import Student
    from selfsteer.steering.vectors import SteeringVector

_VECTOR_ID = re.compile(r"[0-9a-f]{16}")


def open_memory(db: Path | None, *, read_only: bool = False) -> Memory:
    """The memory that was named, or that of the settings.

    Raises:
        MemoryFileError: as `Memory.open` does.
    """
    from selfsteer.memory.store import Memory

    return Memory.open(db or AppSettings().db, read_only=read_only)


def load_student(name: str, device: str | None, dtype: str | None) -> Student:
    """The student that was named, on the device of the options or the settings.

    Raises:
        StudentError: as `Student.load` does, and for a device that is not there.
    """
    import torch

    from selfsteer.steering.model import Student

    settings = AppSettings()
    place = device or settings.device
    try:
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise StudentError(
            f"The device {place!r} cannot be used ({reason}); cpu always can."
        ) from error
    return Student.load(name, device=place, dtype=dtype or settings.dtype)


def load_vector(source: str, db: Path | None) -> SteeringVector:
    """A vector from a file, or from memory by its id.

    Raises:
        VectorError: neither a file nor an id, or a file that is no vector.
        MemoryFileError: no memory, or no such vector in it.
    """
    from selfsteer.steering.vectors import SteeringVector

    if Path(source).is_file():
        return SteeringVector.load(source)
    if not _VECTOR_ID.fullmatch(source):
        raise VectorError(
            f"{source!r} is neither a vector file nor the id of a vector (16 hex digits, see "
            "`selfsteer vectors`)."
        )
    with open_memory(db, read_only=True) as memory:
        return memory.get_vector(source)
