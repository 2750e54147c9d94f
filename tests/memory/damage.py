"""Bytes of a memory that change behind its back."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def alter_blob(path: Path, artefact_id: str) -> None:
    """Turn one byte of a blob, as a failing disk would: in the file, past every trigger."""
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [data] = raw.execute("SELECT data FROM artefacts WHERE id = ?", [artefact_id]).fetchone()
    raw.close()
    content = path.read_bytes()
    assert content.count(data) == 1, "the blob must lie in one piece to be found"
    place = content.index(data) + len(data) // 2
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([content[place] ^ 0xFF]))


def misdeed(path: Path, statement: str, *values: object) -> None:
    """Change rows with the foreign keys off and without the triggers that forbid it."""
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER IF EXISTS artefacts_are_never_rewritten")
        raw.execute(statement, values)
    raw.close()
