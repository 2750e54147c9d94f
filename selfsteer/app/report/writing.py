"""Pages and figures become files whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfsteer.errors import SelfsteerError


def check_place(path: Path) -> None:
    """Try whether a file can be written, before the work whose results are to be in it.

    Raises:
        SelfsteerError: it cannot, or there is a folder of that name.
    """
    with _beside(path) as temporary:
        temporary.touch(exist_ok=False)


def write_file(text: str, path: Path) -> None:
    """Write a file; a reader sees the old one or the new one.

    Raises:
        SelfsteerError: the file cannot be written.
    """
    with _beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name beside a file, for what is to take its place; nothing is left there."""
    try:
        if not path.name or path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SelfsteerError(
            f"A file cannot be written to {path}: {error.strerror}; choose another place."
        ) from error
