"""Checking, clearing out and exporting a memory that knows users."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Memory, Run
from selfsteer.memory.bundle_reading import read_bundle
from selfsteer.memory.bundle_writing import write_bundle
from selfsteer.memory.check import check
from selfsteer.memory.collect import collect
from selfsteer.steering.datasets import ContrastiveDataset
from tests.memory.damage import misdeed
from tests.memory.users.cast import FINGERPRINT, direction, give, says


@pytest.fixture
def known(memory: Memory) -> Memory:
    """Two users; the first has a vector in use and is in a population."""
    for name in ("anna", "bert"):
        memory.users.add(name, consents=True)
        memory.users.observe(name, [says(f"{name} shares.", scope="shared"), says("No.", 1)])
    names = [kept.id for kept in memory.users.observations("anna")][:1]
    version = give(memory, "anna", direction(1), names)
    memory.users.put_in_use(version.id, {}, "good")
    memory.put_vector(direction(2))
    memory.users.pool(direction(2).id, ["anna"], kind="population", settings={})
    return memory


def test_a_memory_with_users_is_sound(known: Memory) -> None:
    assert check(known).faults == ()


@pytest.mark.parametrize(
    ("deed", "where", "what"),
    [
        (
            "DROP TRIGGER evidence_is_of_the_same_user; INSERT INTO user_vector_evidence "
            "SELECT (SELECT id FROM user_vectors), id FROM observations WHERE user_id = 'bert'",
            "user_vector_evidence",
            "another user",
        ),
        (
            "INSERT INTO user_vector_evidence SELECT (SELECT id FROM user_vectors), id "
            "FROM observations WHERE user_id = 'anna' AND scope = 'private'",
            "user_vectors",
            "rests on what is private",
        ),
        ("DELETE FROM current_vectors", "user_vector_statuses", "is not served"),
        (
            "INSERT INTO user_vector_statuses (version_id, status, scores, reason, time) "
            "SELECT id, 'retired', '{}', '', '' FROM user_vectors",
            "current_vectors",
            "is served",
        ),
        (
            "DELETE FROM artefacts WHERE id NOT IN (SELECT vector_id FROM user_vectors)",
            "pooled",
            "missing",
        ),
        ("DELETE FROM consents", "pooled", "does not consent"),
        (
            "DROP TRIGGER observations_are_never_rewritten; "
            "UPDATE observations SET content = replace(content, 'anna', 'Anna')",
            "observations",
            "not what its name says",
        ),
        (
            "DROP TRIGGER observations_are_never_rewritten; UPDATE observations SET content = '{}'",
            "observations",
            "not what its name says",
        ),
        ("DELETE FROM user_vectors", "user_vector_evidence", "row of user_vectors is missing"),
    ],
)
def test_what_is_wrong_is_named(
    known: Memory, path: Path, deed: str, where: str, what: str
) -> None:
    for statement in deed.split("; "):
        misdeed(path, statement)
    faults = [(fault.where, fault.what) for fault in check(known).faults]
    assert any(place == where and what in told for place, told in faults), faults


def test_clearing_out_keeps_what_is_pooled(known: Memory) -> None:
    kept = known.put_blob("basis", b"1", {"student_fingerprint": FINGERPRINT})
    known.users.pool(kept, ["anna"], kind="basis", settings={})
    left = known.put_blob("basis", b"2")
    # A grace that ends in the next second: times are kept to the millisecond, and this is quicker.
    assert [blob.id for blob in collect(known, -timedelta(seconds=1))] == [left]
    assert check(known).faults == ()


def test_users_are_not_exported(
    known: Memory, path: Path, start_run: Callable[..., Run], dataset: ContrastiveDataset
) -> None:
    library, open_run = direction(9), start_run(known, "sound grumpy")
    secret = known.runs.start(
        "shares",
        **{"student": "t", "fingerprint": FINGERPRINT, "controller": "self", "seed": 0},
        settings={},
        user_id="anna",
    )
    own = direction(3, dataset_id=known.put_dataset(dataset))
    give(known, "anna", own)
    known.put_vector(library)
    child = direction(4, parents=[own, library])
    known.put_vector(child)
    for run in (open_run, secret):
        known.runs.finish(run.id, "rejected", seconds=0.0)
    file = path.with_name("b.zip")
    bundle = write_bundle(known, file)
    assert [one.id for one in bundle.artefacts] == [library.id]
    assert [one.run.id for one in bundle.runs] == [open_run.id]
    with zipfile.ZipFile(file) as opened:
        assert b"anna" not in opened.read("bundle.json")
    for asked in ({"run_ids": [secret.id]}, {"vector_ids": [child.id]}):
        with pytest.raises(MemoryFileError, match="came from the data of a user"):
            write_bundle(known, path.with_name("c.zip"), **asked)
    write_bundle(known, path.with_name("d.zip"), vector_ids=[library.id])
    with Memory.open(path.with_name("other.db")) as other:
        assert read_bundle(other, file).artefacts == (library.id,)
        assert other.users.all() == []
