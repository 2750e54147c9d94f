"""Is the file sound? Every blob against its name, every reference against what it refers to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from selfsteer.errors import SelfsteerError
from selfsteer.memory.artefacts import content_id
from selfsteer.memory.connection import now
from selfsteer.memory.references import broken_keys, broken_names
from selfsteer.memory.store import Memory
from selfsteer.memory.users.faults import user_faults


class Fault(BaseModel):
    """Something that is wrong.

    Attributes:
        kind: the file's pages, a blob, a reference, or what is known of users.
        where: the blob, or the table and column that are wrong.
        what: what is wrong with it.
        artefact_id: the blob that is wrong; None for the others.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["file", "blob", "reference", "user"]
    where: str
    what: str
    artefact_id: str | None = None


class CheckReport(BaseModel):
    """What a check found.

    Attributes:
        blobs: how many were read.
        size: of all of them, in bytes.
        faults: empty when the memory is sound.
    """

    model_config = ConfigDict(frozen=True)

    blobs: int
    size: int
    faults: tuple[Fault, ...]


def check(memory: Memory) -> CheckReport:
    """Read everything and compare it with what it should be; changes nothing.

    One blob is in memory at a time. Others may write meanwhile.
    """
    listed = memory.connection.query("SELECT id, kind, sha256, size FROM artefacts ORDER BY rowid")
    faults = [*_pages(memory), *_references(memory)]
    for row in listed:
        what = _blob_fault(memory, row["id"], row["kind"], row["sha256"], row["size"])
        if what is not None:
            where = f"{row['kind']} {row['id']}"
            faults.append(Fault(kind="blob", where=where, what=what, artefact_id=row["id"]))
    size = sum(row["size"] for row in listed)
    return CheckReport(blobs=len(listed), size=size, faults=tuple(faults))


def quarantine(memory: Memory, faults: Sequence[Fault]) -> None:
    """Set the altered blobs aside: reading one is refused from now on, the rest is served.

    Raises:
        MemoryFileError: the file cannot be written.
    """
    noticed = now()
    with memory.connection.write() as db:
        for fault in faults:
            if fault.artefact_id is not None:
                db.execute(
                    "INSERT INTO quarantined (artefact_id, reason, noticed) VALUES (?, ?, ?) "
                    "ON CONFLICT DO NOTHING",
                    [fault.artefact_id, fault.what, noticed],
                )


def set_aside_if_altered(memory: Memory, artefact_id: str) -> bool:
    """Whether a blob cannot be served; one that was altered on disk is in quarantine then.

    So that the same content may be stored again, which is refused to bytes that count as sound.

    Raises:
        MemoryFileError: the file cannot be written.
    """
    rows = memory.connection.query(
        "SELECT kind, sha256, size, id IN (SELECT artefact_id FROM quarantined) AS aside "
        "FROM artefacts WHERE id = ?",
        [artefact_id],
    )
    if not rows or rows[0]["aside"]:
        return True
    [row] = rows
    what = _blob_fault(memory, artefact_id, row["kind"], row["sha256"], row["size"])
    if what is None:
        return False
    where = f"{row['kind']} {artefact_id}"
    quarantine(memory, [Fault(kind="blob", where=where, what=what, artefact_id=artefact_id)])
    return True


def _pages(memory: Memory) -> Iterator[Fault]:
    for row in memory.connection.query("PRAGMA integrity_check"):
        if row["integrity_check"] != "ok":
            yield Fault(kind="file", where=str(memory.path), what=row["integrity_check"])


def _references(memory: Memory) -> Iterator[Fault]:
    for table, parent in broken_keys(memory.connection):
        yield Fault(kind="reference", where=table, what=f"a row of {parent} is missing")
    for where, name in broken_names(memory.connection):
        yield Fault(kind="reference", where=where, what=f"there is no artefact {name}")
    for where, what in user_faults(memory.connection):
        yield Fault(kind="user", where=where, what=what)


def _blob_fault(memory: Memory, name: str, kind: str, sha256: str, size: int) -> str | None:
    """What is wrong with a blob; None for nothing, and for one that was deleted meanwhile."""
    rows = memory.connection.query("SELECT data FROM artefacts WHERE id = ?", [name])
    if not rows:
        return None
    data = bytes(rows[0]["data"])
    if len(data) != size:
        return f"it has {len(data)} bytes and should have {size}"
    if hashlib.sha256(data).hexdigest() != sha256:
        return "its bytes do not have the hash that was stored with them"
    try:
        own = content_id(kind, data, f"{kind} {name}")
    except SelfsteerError as error:
        return str(error)
    return None if own == name else f"its content is that of {own}"
