"""Reading a bundle into a memory: verified first, all of it or nothing, and twice is as once."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from selfsteer.errors import DatasetError, MemoryFileError, VectorError
from selfsteer.memory.artefacts import content_id
from selfsteer.memory.bundle import CONTENTS, Bundle, BundledArtefact, BundledRun
from selfsteer.memory.ledger import PaidCall
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.vectors import SteeringVector

MOST_CONTENTS = 2**28
"""Bytes of the rows of a bundle: a small file of theirs could be unpacked into a very large one."""

_MEMBER = re.compile(r"blobs/[0-9a-f]{16}\.(safetensors|jsonl|bin)")


class Added(BaseModel):
    """What came into memory that was not there.

    Attributes:
        artefacts: ids of the blobs, those that mended an altered one included.
        runs: ids of the runs.
    """

    model_config = ConfigDict(frozen=True)

    artefacts: tuple[str, ...]
    runs: tuple[str, ...]


def read_bundle(memory: Memory, path: Path) -> Added:
    """Take a bundle into memory.

    Raises:
        MemoryFileError: the file cannot be read, is no bundle or one of a newer selfsteer, holds
            what does not belong there, something that is not what its name says, rows that refer
            to what is not there, or a run that is another one here.
    """
    with _plain_words(path), zipfile.ZipFile(path) as file:
        _check_members(file, path)
        bundle = _contents(file, path)
        _check_runs(bundle, path)
        with memory.connection.write():
            before = _sound(memory)
            for artefact in bundle.artefacts:
                _take_blob(memory, artefact, file, path)
            new = [one for one in bundle.runs if _is_new(memory, one, path)]
            for one in new:
                memory.runs.adopt(one.run, one.rounds, one.candidates, one.events)
                memory.ledger.adopt(one.ledger)
            _take_remembered(memory, new, bundle)
    return Added(
        artefacts=tuple(one.id for one in bundle.artefacts if one.id not in before),
        runs=tuple(one.run.id for one in new),
    )


@contextmanager
def _plain_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MemoryFileError(f"The bundle {path} cannot be read: {error.strerror}.") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise MemoryFileError(f"{path} is no bundle, or is damaged ({error}).") from error
    except sqlite3.IntegrityError as error:
        raise MemoryFileError(
            f"The bundle {path} holds rows that a memory does not take ({error})."
        ) from error
    except (ValueError, OverflowError) as error:  # no number, no text, or too large a number
        raise MemoryFileError(
            f"The bundle {path} holds values that a memory does not take ({error})."
        ) from error


def _check_members(file: zipfile.ZipFile, path: Path) -> None:
    """Refuse names that are not ours, and anything that would grow."""
    members = file.infolist()
    names = [member.filename for member in members]
    for member in members:
        if member.filename == CONTENTS:
            if member.file_size > MOST_CONTENTS:
                raise MemoryFileError(
                    f"{CONTENTS} of the bundle {path} is larger than {MOST_CONTENTS} bytes."
                )
        elif not _MEMBER.fullmatch(member.filename):
            raise MemoryFileError(f"{path} holds {member.filename!r}, which no bundle does.")
        elif member.compress_type != zipfile.ZIP_STORED:
            raise MemoryFileError(
                f"{member.filename} of the bundle {path} is compressed; blobs never are."
            )
    if CONTENTS not in names:
        raise MemoryFileError(f"{path} is no bundle: it has no {CONTENTS}.")
    stored = sum(member.file_size for member in members if member.filename != CONTENTS)
    if len(set(names)) < len(names) or stored > path.stat().st_size:
        raise MemoryFileError(f"{path} holds a file twice; a bundle does not.")


def _contents(file: zipfile.ZipFile, path: Path) -> Bundle:
    try:
        raw = json.loads(file.read(CONTENTS), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MemoryFileError(f"{CONTENTS} of the bundle {path} is not JSON.") from error
    version = raw.get("version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > 1:
        raise MemoryFileError(
            f"The bundle {path} was written by a newer selfsteer (version {version}, this one "
            "reads 1); upgrade selfsteer."
        )
    try:
        bundle = Bundle.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or CONTENTS
        raise MemoryFileError(
            f"The bundle {path} is malformed: {where}: {first['msg']}."
        ) from error
    named = [CONTENTS, *(artefact.member for artefact in bundle.artefacts)]
    if sorted(named) != sorted(file.namelist()):
        raise MemoryFileError(f"The blobs of the bundle {path} are not those that it lists.")
    return bundle


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _check_runs(bundle: Bundle, path: Path) -> None:
    """Rows of a run belong to it, and its paid calls are named as calls are."""
    for one in bundle.runs:
        name = one.run.id
        owners = {
            row.run_id
            for rows in (one.rounds, one.candidates, one.events, one.ledger)
            for row in rows
        }
        if one.remembered is not None:
            owners.add(one.remembered.run_id)
        if owners - {name} or one.run.status not in ("accepted", "rejected"):
            raise MemoryFileError(
                f"Run {name} of the bundle {path} has not ended, or holds rows of another run."
            )
        for entry in one.ledger:
            fields = {field: getattr(entry, field) for field in PaidCall.model_fields}
            if PaidCall(**fields).key != entry.key:
                raise MemoryFileError(
                    f"A paid call of run {name} of the bundle {path} is not what its name says."
                )


def _sound(memory: Memory) -> set[str]:
    rows = memory.connection.query(
        "SELECT id FROM artefacts WHERE id NOT IN (SELECT artefact_id FROM quarantined)"
    )
    return {row["id"] for row in rows}


def _take_blob(
    memory: Memory, artefact: BundledArtefact, file: zipfile.ZipFile, path: Path
) -> None:
    data, source = file.read(artefact.member), f"{artefact.member} of the bundle {path}"
    altered = MemoryFileError(f"{source} is not what its name says; get the bundle again.")
    if len(data) != artefact.size or hashlib.sha256(data).hexdigest() != artefact.sha256:
        raise altered
    try:
        if content_id(artefact.kind, data, source) != artefact.id:
            raise altered
    except (DatasetError, VectorError) as error:
        raise MemoryFileError(f"{source} cannot be used: {error}") from error
    # What vectors and datasets are listed by is read from them, not from what the bundle says.
    if artefact.kind == "vector":
        memory.put_vector(SteeringVector.from_bytes(data, source))
    elif artefact.kind == "dataset":
        memory.put_dataset(ContrastiveDataset.from_jsonl(data.decode()))
    else:
        memory.put_blob(artefact.kind, data, artefact.meta)


def _is_new(memory: Memory, one: BundledRun, path: Path) -> bool:
    known = {run.id: run for run in memory.runs.all()}.get(one.run.id)
    if known is not None and known != one.run:
        raise MemoryFileError(
            f"Run {one.run.id} of the bundle {path} is another one than run {one.run.id} in "
            f"{memory.path}; nothing was imported."
        )
    return known is None


def _take_remembered(memory: Memory, new: list[BundledRun], bundle: Bundle) -> None:
    """Plans oldest first, so that each finds the one that it replaced; then what was doubted."""
    plans = [one for one in new if one.remembered is not None]
    for one in sorted(plans, key=lambda one: one.remembered.id if one.remembered else 0):
        assert one.remembered is not None
        memory.adopt(one.remembered, one.supersedes)
    for one in bundle.runs:
        memory.adopt_doubts(one.run.id, one.doubts)
