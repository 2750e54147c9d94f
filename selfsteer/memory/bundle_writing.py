"""Writing a bundle: some runs, some vectors, or the whole memory, with all that they refer to."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

from selfsteer.errors import MemoryFileError
from selfsteer.memory.backup import new_file
from selfsteer.memory.bundle import CONTENTS, Bundle, BundledArtefact, BundledRun
from selfsteer.memory.records import Artefact, Doubt, Remembered
from selfsteer.memory.references import ids_in
from selfsteer.memory.store import Memory
from selfsteer.memory.users.reach import reach_of

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same contents give the same file


def write_bundle(
    memory: Memory, path: Path, *, run_ids: Sequence[str] = (), vector_ids: Sequence[str] = ()
) -> Bundle:
    """Write a bundle to a new file; of everything, where neither runs nor vectors are named.

    Runs that did not end stay out: their checkpoints stay behind, so that they could not go on.
    Users stay out, with all that came from their data: a bundle goes where forgetting cannot
    follow. A whole memory is copied by `back_up`.

    Raises:
        MemoryFileError: an unknown or unfinished run, an unknown vector, one that came from a
            user's data, or a file that is there already or cannot be written; where runs or vectors
            are named, a blob of theirs that is altered or in quarantine.

    Warns:
        UserWarning: of everything, a blob is altered or in quarantine; it is left out, with the
            runs that refer to it.
    """
    everything = not run_ids and not vector_ids
    ended = memory.runs.ended()
    users = reach_of(memory.connection, [user.id for user in memory.users.all()])
    if everything:
        ended -= users.runs
        run_ids = [run.id for run in reversed(memory.runs.all()) if run.id in ended]
    for name in users.runs.intersection(run_ids) | users.artefacts.intersection(vector_ids):
        raise MemoryFileError(
            f"{name} came from the data of a user, which is never exported; `memory backup` copies "
            "the whole memory."
        )
    for run_id in run_ids:
        if memory.runs.get(run_id).id not in ended:
            raise MemoryFileError(f"Run {run_id} has not ended; only runs that ended are exported.")
    stored = _stored(memory)
    for vector_id in vector_ids:
        memory.get_vector(vector_id)
    runs = tuple(_run(memory, run_id, users.runs) for run_id in dict.fromkeys(run_ids))
    if everything:
        vector_ids = [name for name in stored if name not in users.artefacts | users.loose]
    wanted = _needed(stored, [*vector_ids], runs)
    if everything:
        lost = _lost(memory, [stored[name] for name in stored if name in wanted])
        wanted -= lost
        runs = tuple(run for run in runs if lost.isdisjoint(ids_in(run.model_dump_json())))
    artefacts = tuple(_bundled(kept) for name, kept in stored.items() if name in wanted)
    bundle = Bundle(artefacts=artefacts, runs=runs)
    with new_file(path) as half, zipfile.ZipFile(half, "x") as file:
        _put(file, CONTENTS, bundle.model_dump_json().encode(), zipfile.ZIP_DEFLATED)
        for artefact in artefacts:
            data = memory.get_blob(artefact.kind, artefact.id)
            _put(file, artefact.member, data, zipfile.ZIP_STORED)
    return bundle


def _put(file: zipfile.ZipFile, name: str, data: bytes, compression: int) -> None:
    member = zipfile.ZipInfo(name, _EPOCH)
    file.writestr(member, data, compress_type=compression)


def _stored(memory: Memory) -> dict[str, Artefact]:
    """All artefacts by their ids, oldest first; one in quarantine is refused when it is read."""
    rows = memory.connection.query(
        "SELECT id, kind, sha256, size, meta, created FROM artefacts ORDER BY created, rowid"
    )
    return {row["id"]: Artefact.from_row(row) for row in rows}


def _needed(
    stored: dict[str, Artefact], names: list[str], runs: tuple[BundledRun, ...]
) -> set[str]:
    """What the vectors and runs refer to, and what that refers to."""
    waiting = [*names, *(name for run in runs for name in ids_in(run.model_dump_json()))]
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in stored and name not in needed:
            needed.add(name)
            waiting += ids_in(stored[name].model_dump_json())
    return needed


def _lost(memory: Memory, wanted: Sequence[Artefact]) -> set[str]:
    """Those of the artefacts that cannot be read."""
    lost: set[str] = set()
    for kept in wanted:
        try:
            memory.get_blob(kept.kind, kept.id)
        except MemoryFileError as error:
            lost.add(kept.id)
            warnings.warn(
                f"{error} It is left out of the bundle, with the runs that refer to it.",
                stacklevel=3,
            )
    return lost


def _bundled(kept: Artefact) -> BundledArtefact:
    return BundledArtefact(
        id=kept.id, kind=kept.kind, sha256=kept.sha256, size=kept.size, meta=kept.meta
    )


def _run(memory: Memory, run_id: str, of_users: Collection[str]) -> BundledRun:
    remembered, supersedes = _remembered(memory, run_id)
    return BundledRun(
        run=memory.runs.get(run_id),
        rounds=tuple(memory.runs.rounds(run_id)),
        candidates=tuple(memory.runs.candidates(run_id)),
        events=tuple(memory.runs.events(run_id)),
        ledger=tuple(memory.ledger.entries(run_id)),
        remembered=remembered,
        supersedes=supersedes,
        doubts=tuple(
            doubt for doubt in _doubts(memory, remembered) if doubt.run_id not in of_users
        ),
    )


def _remembered(memory: Memory, run_id: str) -> tuple[Remembered | None, str | None]:
    """The plan of a run, and the run whose plan it replaced."""
    rows = memory.connection.query(
        "SELECT remembered.id, remembered.run_id, remembered.vector_id, remembered.goal, "
        "remembered.plan, remembered.scores, remembered.fingerprint, remembered.supersedes, "
        "remembered.created, earlier.run_id AS replaced FROM remembered "
        "LEFT JOIN remembered AS earlier ON earlier.id = remembered.supersedes "
        "WHERE remembered.run_id = ?",
        [run_id],
    )
    if not rows:
        return None, None
    replaced: str | None = rows[0].pop("replaced")
    return Remembered.from_row(rows[0]), replaced


def _doubts(memory: Memory, remembered: Remembered | None) -> tuple[Doubt, ...]:
    """Doubts of runs that are exported themselves come along; so do the others: import sorts."""
    return () if remembered is None else tuple(memory.doubts(remembered.id))
