"""How people are told to go on: by commands that find the memory in use."""

from __future__ import annotations

import shlex
from pathlib import Path

from selfsteer.app.settings import AppSettings


def command(words: str, db: Path) -> str:
    """`selfsteer` with these words, and with the memory where it would take another without."""
    place = "" if db == AppSettings().db else f" --db {shlex.quote(str(db))}"
    return f"selfsteer {words}{place}"
