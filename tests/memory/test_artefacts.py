"""Content-addressed artefacts."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Memory
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.vectors import SteeringVector


def test_vectors_come_back_as_they_were(memory: Memory, vector: SteeringVector) -> None:
    assert memory.put_vector(vector) == vector.id
    back = memory.get_vector(vector.id)
    assert back.to_bytes() == vector.to_bytes()
    assert all(torch.equal(back.directions[k], vector.directions[k]) for k in vector.layers)


def test_the_same_vector_made_later_is_stored_once(memory: Memory, vector: SteeringVector) -> None:
    memory.put_vector(vector)
    memory.put_vector(replace(vector, created="2030-01-01T00:00:00+00:00"))
    (listed,) = memory.vectors()
    assert listed.id == vector.id
    assert memory.get_vector(vector.id).created == vector.created


def test_vectors_are_listed_by_what_they_are(memory: Memory, vector: SteeringVector) -> None:
    memory.put_vector(vector)
    (listed,) = memory.vectors()
    assert listed.meta["concept"] == "grumpy"
    assert listed.meta["layers"] == [0, 2]
    assert listed.meta["student_fingerprint"] == vector.student_fingerprint
    assert listed.size == len(vector.to_bytes())


def test_datasets_come_back_as_they_were(memory: Memory, dataset: ContrastiveDataset) -> None:
    assert memory.put_dataset(dataset) == dataset.id
    assert memory.get_dataset(dataset.id) == dataset


def test_generations_come_back_as_they_were(memory: Memory) -> None:
    rows = [{"prompt": "Hi\0\u2028", "reply": "<script>é", "score": 0.25, "finished": True}]
    name = memory.put_generations(rows)
    assert memory.get_generations(name) == rows
    assert memory.put_generations(rows) == name
    assert memory.put_generations([]) != name


def test_what_is_not_json_is_refused(memory: Memory) -> None:
    with pytest.raises(ValueError):
        memory.put_generations([{"score": float("nan")}])
    assert memory.artefacts("generations") == []


def test_unknown_ids_are_named(memory: Memory, vector: SteeringVector) -> None:
    with pytest.raises(MemoryFileError, match="no vector 0123"):
        memory.get_vector("0123")
    memory.put_vector(vector)
    with pytest.raises(MemoryFileError, match=f"no dataset {vector.id}"):
        memory.get_dataset(vector.id)


def tamper(path: Path, statement: str, *values: object) -> None:
    """Change the file behind the store's back, triggers and all."""
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER artefacts_are_never_rewritten")
        raw.execute(statement, values)


@pytest.mark.parametrize("kind", ["vector", "dataset", "generations"])
def test_an_altered_blob_is_named_and_the_rest_served(
    path: Path, vector: SteeringVector, dataset: ContrastiveDataset, kind: str
) -> None:
    with Memory.open(path) as memory:
        ids = {
            "vector": memory.put_vector(vector),
            "dataset": memory.put_dataset(dataset),
            "generations": memory.put_generations([{"reply": "hm"}]),
        }
    tamper(
        path,
        "UPDATE artefacts SET data = CAST(substr(data, 1, size - 2) || 'XX' AS BLOB) WHERE id = ?",
        ids[kind],
    )
    with Memory.open(path) as memory:
        read = {
            "vector": memory.get_vector,
            "dataset": memory.get_dataset,
            "generations": memory.get_generations,
        }
        with pytest.raises(MemoryFileError, match=f"{kind} {ids[kind]} .* altered"):
            read[kind](ids[kind])
        for other in set(ids) - {kind}:
            read[other](ids[other])


def test_a_blob_under_the_name_of_another_is_noticed(path: Path, vector: SteeringVector) -> None:
    other = vector * 2.0
    with Memory.open(path) as memory:
        memory.put_vector(vector)
        memory.put_vector(other)
    tamper(
        path,
        "UPDATE artefacts SET (data, sha256) = "
        "(SELECT data, sha256 FROM artefacts WHERE id = ?) WHERE id = ?",
        other.id,
        vector.id,
    )
    with (
        Memory.open(path) as memory,
        pytest.raises(MemoryFileError, match=f"vector {vector.id} .* altered"),
    ):
        memory.get_vector(vector.id)


def test_artefacts_cannot_be_rewritten(memory: Memory, vector: SteeringVector) -> None:
    memory.put_vector(vector)
    with (
        pytest.raises(sqlite3.IntegrityError, match="only ever added"),
        memory._connection.write() as db,
    ):
        db.execute("UPDATE artefacts SET kind = 'dataset'")


def test_many_vectors_are_stored_as_one_by_one(
    memory: Memory, vector: SteeringVector, tmp_path: Path
) -> None:
    many = [vector, vector * 2.0, vector * 3.0, vector]
    assert memory.put_vectors(many) == [one.id for one in many]
    assert memory.put_vectors([]) == []
    with Memory.open(tmp_path / "singly.db") as singly:
        for one in many:
            singly.put_vector(one)
        expected = [row.model_dump(exclude={"created"}) for row in singly.vectors()]
    assert [row.model_dump(exclude={"created"}) for row in memory.vectors()] == expected
    for one in many:
        assert memory.get_vector(one.id).to_bytes() == one.to_bytes()


def test_of_many_vectors_all_are_stored_or_none(memory: Memory, vector: SteeringVector) -> None:
    other = vector * 2.0
    with memory._connection.write() as db:
        db.execute(
            "CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.artefacts "
            f"WHEN NEW.id = '{other.id}' BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    with pytest.raises(sqlite3.IntegrityError, match="refused"):
        memory.put_vectors([vector, other])
    assert memory.vectors() == []
    memory.put_vector(vector)
    assert [row.id for row in memory.vectors()] == [vector.id]
