"""Clearing out: blobs that nothing refers to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from selfsteer.memory.records import Artefact
from selfsteer.memory.references import mentioned
from selfsteer.memory.store import Memory

GRACE = timedelta(days=1)
"""How long a blob stays without a reference: what makes it says only later what it is for."""


def unreferenced(memory: Memory, grace: timedelta = GRACE) -> list[Artefact]:
    """The blobs that nothing refers to, oldest first.

    Never among them: vectors, which a person may have imported or composed without any run; blobs
    younger than ``grace``; and what was stored since the oldest run began that may still be
    resumed, because its checkpoint, which is another file, may name it.
    """
    settled = (datetime.now(UTC) - grace).isoformat(timespec="milliseconds")
    [row] = memory.connection.query(
        "SELECT min(started) AS began FROM runs WHERE status NOT IN ('accepted', 'rejected')"
    )
    rows = memory.connection.query(
        "SELECT id, kind, sha256, size, meta, created FROM artefacts "
        "WHERE kind != 'vector' AND created <= ? AND created < coalesce(?, '9') "
        "ORDER BY created, rowid",
        [settled, row["began"]],
    )
    used = mentioned(memory.connection)
    return [Artefact.from_row(row) for row in rows if row["id"] not in used]


def collect(memory: Memory, grace: timedelta = GRACE) -> list[Artefact]:
    """Delete what `unreferenced` names, and give the space back to the disk.

    Returns:
        what was deleted.

    Raises:
        MemoryFileError: the file cannot be written, or stays in use by another process.
    """
    with memory.connection.write() as db:  # nobody may refer to a blob between look and deletion
        gone = unreferenced(memory, grace)
        for artefact in gone:
            db.execute("DELETE FROM artefacts WHERE id = ?", [artefact.id])
    if gone:
        memory.connection.vacuum()
    return gone
