"""What the commands work with: the memory, the student and vectors, from the names that were given.

Imports stand inside the functions: torch takes seconds, and `selfsteer --help` should not.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from selfsteer.app.output import explain
from selfsteer.app.settings import AppSettings, MeaningSettings
from selfsteer.errors import EncoderError, VectorError

if TYPE_CHECKING:
    from selfsteer.memory.encoder import SentenceEncoder
    from selfsteer.memory.meaning import Meaning
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
        StudentError: as `Student.load` does.
    """
    from selfsteer.steering.model import Student

    settings = AppSettings()
    return Student.load(name, device=device or settings.device, dtype=dtype or settings.dtype)


def named_encoder() -> SentenceEncoder | None:
    """The sentence encoder of the settings, not loaded yet.

    Raises:
        EncoderError: settings that make no sense.
    """
    name = _meaning_settings().encoder
    if name is None:
        return None
    from selfsteer.memory.encoder import SentenceEncoder

    return SentenceEncoder(name)


def named_meaning(*, load: bool) -> Meaning | None:
    """What finds goals that mean the same, by the settings.

    Args:
        load: load its encoder now, so that one that does not load is refused before a run begins.

    Raises:
        EncoderError: settings that make no sense, or as `SentenceEncoder.load` does.
    """
    settings, encoder = _meaning_settings(), named_encoder()
    if encoder is None:
        return None
    if load:
        encoder.load()
    from selfsteer.memory.meaning import LEAST, Meaning

    least = settings.least_cosine
    return Meaning(encoder, LEAST if least is None else least)


def _meaning_settings() -> MeaningSettings:
    try:
        return MeaningSettings()
    except ValidationError as error:
        names = {field: f"SELFSTEER_{field.upper()}" for field in MeaningSettings.model_fields}
        raise EncoderError(explain(error, names)) from error


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
