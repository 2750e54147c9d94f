"""What the files of steps are written with."""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("selfsteer.memory")

APPLICATION_ID = 0x53545245
"""Marks the file as ours ("STRE"), so that no other program's database is taken for a memory."""


def forbid_updates(db: Database, table: str) -> None:
    """Let the rows of a table be added and deleted, and never changed."""
    db.execute(f"""
        CREATE TRIGGER {table}_are_never_rewritten BEFORE UPDATE ON {table}
        BEGIN SELECT RAISE(ABORT, '{table} are only ever added'); END
    """)
