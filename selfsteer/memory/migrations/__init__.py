"""The schema, as numbered steps. A step that has been released is never edited: add the next one.

Every step says why it is there. All steps run in one transaction under the write lock, so that a
kill leaves either the old schema or the new one, and two processes can open a new file at once.
"""

from __future__ import annotations

from selfsteer.errors import MemoryFileError
from selfsteer.memory.connection import Connection

# Steps are registered as these are imported, so their order here is the order of the steps.
from selfsteer.memory.migrations import history as history
from selfsteer.memory.migrations import upkeep as upkeep
from selfsteer.memory.migrations import users as users
from selfsteer.memory.migrations.steps import APPLICATION_ID, MIGRATIONS

__all__ = ["APPLICATION_ID", "MIGRATIONS", "SCHEMA_VERSION", "prepare"]

SCHEMA_VERSION = 13
"""The number of steps, kept in the file's ``user_version``."""


def prepare(connection: Connection) -> None:
    """Bring a file to the newest schema; create it in an empty one.

    Raises:
        MemoryFileError: another program's database, one of a newer selfsteer, one of an older
            selfsteer that is open for reading only, or any mishap while writing.
    """
    path, version = connection.path, connection.pragma("user_version")
    used = connection.query("SELECT 1 FROM sqlite_master LIMIT 1")
    if used and connection.pragma("application_id") != APPLICATION_ID:
        raise MemoryFileError(
            f"{path} is a database of another program; choose another file for the memory."
        )
    if version > SCHEMA_VERSION:
        raise MemoryFileError(
            f"The memory {path} was written by a newer selfsteer (schema {version}, this one knows "
            f"{SCHEMA_VERSION}); upgrade selfsteer or choose another file."
        )
    if connection.read_only:
        if version < SCHEMA_VERSION:
            raise MemoryFileError(
                f"The memory {path} is empty or of an older selfsteer (schema {version}, this one "
                f"has {SCHEMA_VERSION}); open it once for writing to bring it up to date."
            )
        return
    connection.use_write_ahead_log()
    with connection.write() as db:
        MIGRATIONS.apply(db)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
