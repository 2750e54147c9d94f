"""A file for each thing: written whole or not at all, and read within bounds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from selfsteer.steering.formats.foreign import read_bounded
from selfsteer.steering.formats.native import write_atomically


class Saved(ABC):
    """What has a form as bytes, and so a file."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The content of the file; the same thing gives the same bytes."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes, source: str = ...) -> Self:
        """Read :meth:`to_bytes`, and refuse what it did not give; `source` is named in errors."""

    def save(self, path: str | Path) -> None:
        """Write the file ``path``, whole or not at all.

        Raises:
            VectorError: the file cannot be written.
        """
        write_atomically(Path(path), self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that :meth:`save` wrote.

        Raises:
            VectorError: the file cannot be read or is larger than any of its kind, or
                :meth:`from_bytes` refuses it.
        """
        return cls.from_bytes(read_bounded(Path(path)), str(path))
