"""The integrity of blobs and references, and the quarantine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Memory, Round, Run
from selfsteer.memory.check import Fault, check, quarantine
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.vectors import SteeringVector
from tests.memory.damage import alter_blob, misdeed

FINGERPRINT = "f" * 64


def faults(path: Path) -> tuple[Fault, ...]:
    with Memory.open(path, read_only=True) as memory:
        return check(memory).faults


def remember(memory: Memory, run: Run, vector: SteeringVector) -> None:
    memory.remember(
        run.id, vector.id, goal="sound grumpy", plan={}, scores={}, fingerprint=FINGERPRINT
    )


@pytest.fixture
def filled(memory: Memory, run: Run, vector: SteeringVector, dataset: ContrastiveDataset) -> Memory:
    memory.put_vector(vector)
    memory.put_dataset(dataset)
    memory.put_generations([{"reply": "no"}])
    memory.runs.add_round(
        Round(
            run_id=run.id,
            number=0,
            dataset_id=dataset.id,
            vector_id=vector.id,
            decision="accept",
            reason="it does",
        )
    )
    memory.runs.add_event(run.id, "extracted", {"vectors": {"response": vector.id}})
    remember(memory, run, vector)
    return memory


def test_a_sound_memory_has_no_faults(filled: Memory) -> None:
    report = check(filled)
    assert (report.blobs, report.faults) == (3, ())
    kinds = ("vector", "dataset", "generations")
    assert report.size == sum(row.size for kind in kinds for row in filled.artefacts(kind))


@pytest.mark.parametrize("kind", ["vector", "dataset", "generations"])
def test_a_byte_that_was_turned_is_named(filled: Memory, path: Path, kind: str) -> None:
    [artefact] = filled.artefacts(kind)
    alter_blob(path, artefact.id)
    [fault] = faults(path)
    assert (fault.kind, fault.artefact_id) == ("blob", artefact.id)
    assert "hash" in fault.what


@pytest.mark.parametrize("kind", ["vector", "dataset", "generations"])
def test_content_of_another_name_is_named_though_its_hash_is_right(
    filled: Memory, path: Path, kind: str, vector: SteeringVector, dataset: ContrastiveDataset
) -> None:
    [artefact] = filled.artefacts(kind)
    other = {
        "vector": (2.0 * vector).to_bytes(),
        "dataset": dataset.to_jsonl().replace("grumpy", "kind").encode(),
        "generations": b"[]",
    }[kind]
    misdeed(
        path,
        "UPDATE artefacts SET data = ?, sha256 = ?, size = ? WHERE id = ?",
        *(other, hashlib.sha256(other).hexdigest(), len(other), artefact.id),
    )
    [fault] = faults(path)
    assert fault.artefact_id == artefact.id
    assert "its content is that of" in fault.what


def test_content_that_cannot_be_read_is_named(filled: Memory, path: Path) -> None:
    [artefact] = filled.artefacts("dataset")
    misdeed(
        path,
        "UPDATE artefacts SET data = ?, sha256 = ?, size = 1 WHERE id = ?",
        *(b"\xff", hashlib.sha256(b"\xff").hexdigest(), artefact.id),
    )
    [fault] = faults(path)
    assert "UTF-8" in fault.what


def test_a_missing_row_is_named_where_it_is_referred_to(filled: Memory, path: Path) -> None:
    [dataset] = filled.artefacts("dataset")
    misdeed(path, "DELETE FROM artefacts WHERE id = ?", dataset.id)
    [fault] = faults(path)
    assert (fault.kind, fault.where, fault.artefact_id) == ("reference", "rounds", None)
    misdeed(path, "DELETE FROM runs")
    assert {fault.where for fault in faults(path)} == {"rounds", "events", "remembered"}


@pytest.mark.parametrize(
    "payload",
    [
        {"vectors": {"last": "0" * 16}},
        {"vectors": ["0" * 16]},
        {"deep": [{"dataset_id": "0" * 16}]},
    ],
)
def test_a_name_in_the_history_that_nothing_has(
    filled: Memory, run: Run, path: Path, payload: dict[str, object]
) -> None:
    filled.runs.add_event(run.id, "note", payload)  # type: ignore[arg-type]
    [fault] = faults(path)
    assert (fault.where, fault.what) == ("events.payload", f"there is no artefact {'0' * 16}")


def test_text_that_only_looks_like_a_name_is_no_fault(filled: Memory, run: Run, path: Path) -> None:
    filled.runs.add_event(run.id, "note", {"reason": "0" * 16, "vector": "sixteen letters!"})
    assert faults(path) == ()


def test_what_is_in_quarantine_is_refused_and_the_rest_is_served(
    filled: Memory, run: Run, path: Path, vector: SteeringVector, dataset: ContrastiveDataset
) -> None:
    alter_blob(path, vector.id)
    with Memory.open(path) as memory:
        assert memory.recall("sound grumpy", FINGERPRINT) != []
        quarantine(memory, check(memory).faults)
        with pytest.raises(MemoryFileError, match="in quarantine") as caught:
            memory.get_vector(vector.id)
        assert vector.id in str(caught.value)
        assert memory.vectors() == []
        assert memory.recall("sound grumpy", FINGERPRINT) == []
        assert memory.get_dataset(dataset.id) == dataset
        assert [fault.artefact_id for fault in check(memory).faults] == [vector.id]


def test_the_same_content_mends_what_is_in_quarantine(
    filled: Memory, path: Path, vector: SteeringVector
) -> None:
    alter_blob(path, vector.id)
    with Memory.open(path) as memory:
        quarantine(memory, check(memory).faults)
        memory.put_vector(vector)
        assert memory.get_vector(vector.id) == vector
        assert check(memory).faults == ()
        assert [hit.exact for hit in memory.recall("sound grumpy", FINGERPRINT)] == [True]


def test_a_memory_without_anything_is_sound(memory: Memory) -> None:
    assert check(memory).model_dump() == {"blobs": 0, "size": 0, "faults": ()}


def test_quarantine_needs_a_file_that_can_be_written(
    filled: Memory, path: Path, vector: SteeringVector, start_run: Callable[..., Run]
) -> None:
    alter_blob(path, vector.id)
    with Memory.open(path, read_only=True) as memory:
        found = check(memory).faults
        with pytest.raises(MemoryFileError, match="read-only"):
            quarantine(memory, found)
