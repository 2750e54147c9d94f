"""Pages become files whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from selfsteer.errors import SelfsteerError


def write_page(page: str, path: Path) -> None:
    """Write a page; a reader sees the old one or the new one.

    Raises:
        SelfsteerError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise SelfsteerError(
            f"The report cannot be written to {path}: {error.strerror}; choose another place."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
