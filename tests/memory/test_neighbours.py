"""Exact nearest neighbours over directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import VectorError
from selfsteer.memory import Memory, neighbours
from selfsteer.memory.check import check, quarantine
from selfsteer.memory.neighbours import Neighbours, highest
from selfsteer.steering.vectors import SteeringVector
from tests.memory.damage import alter_blob

FINGERPRINT = "f" * 64
WIDTH = 8


@pytest.fixture(autouse=True)
def no_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix answers first questions too; `test_scanning` is about the other way."""
    monkeypatch.setattr(neighbours, "can_scan", lambda _: False)


@pytest.fixture
def vectors(memory: Memory, vector: SteeringVector) -> list[SteeringVector]:
    """Forty stored vectors of one student with layers 0 and 2."""
    generator = torch.Generator().manual_seed(1)
    made = [
        replace(
            vector,
            directions={layer: 9 * torch.randn(WIDTH, generator=generator) for layer in (0, 2)},
        )
        for _ in range(40)
    ]
    for one in made:
        memory.put_vector(one)
    return made


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The vectors whose numbers were read."""
    decode, seen = neighbours.decode_direction, []

    def noted(data: bytes, layer: int, source: str) -> torch.Tensor:
        seen.append(source)
        return decode(data, layer, source)

    monkeypatch.setattr(neighbours, "decode_direction", noted)
    yield seen


def by_hand(vectors: list[SteeringVector], asked: SteeringVector, layer: int) -> list[str]:
    def cosine(one: SteeringVector) -> float:
        return float(one.unit(layer).double() @ asked.unit(layer).double())

    others = [one for one in vectors if one != asked]
    return [one.id for one in sorted(others, key=cosine, reverse=True)]


@pytest.mark.parametrize("layer", [0, 2])
def test_they_are_those_found_by_hand(
    memory: Memory, vectors: list[SteeringVector], layer: int
) -> None:
    found = Neighbours(memory).similar(vectors[3], layer, limit=12)
    assert [hit.vector_id for hit in found] == by_hand(vectors, vectors[3], layer)[:12]
    best = next(one for one in vectors if one.id == found[0].vector_id)
    assert found[0].cosine == pytest.approx(
        float(best.unit(layer) @ vectors[3].unit(layer)), abs=1e-6
    )


def test_fewer_than_asked_for_are_all_of_them(
    memory: Memory, vectors: list[SteeringVector]
) -> None:
    assert len(Neighbours(memory).similar(vectors[0], 0, limit=1000)) == len(vectors) - 1


def test_a_vector_that_is_not_stored_may_ask(memory: Memory, vectors: list[SteeringVector]) -> None:
    found = Neighbours(memory).similar(3.0 * vectors[5], 2, limit=1)
    assert found[0].vector_id == vectors[5].id
    assert found[0].cosine == pytest.approx(1, abs=1e-6)


def test_students_and_layers_are_kept_apart(
    memory: Memory, vectors: list[SteeringVector], vector: SteeringVector
) -> None:
    other = replace(vectors[0], student_fingerprint="0" * 64)
    memory.put_vector(other)
    found = Neighbours(memory)
    assert found.similar(other, 0) == []
    assert other.id not in {hit.vector_id for hit in found.similar(vectors[0], 0, limit=99)}
    assert found.nearest(np.ones(WIDTH, np.float32), FINGERPRINT, 7) == []
    assert found.nearest(np.ones(WIDTH + 1, np.float32), FINGERPRINT, 0) == []


def test_a_direction_that_is_zero_there_is_no_neighbour(
    memory: Memory, vectors: list[SteeringVector]
) -> None:
    flat = replace(vectors[0], directions={0: torch.zeros(WIDTH), 2: torch.ones(WIDTH)})
    memory.put_vector(flat)
    found = Neighbours(memory)
    assert flat.id not in {hit.vector_id for hit in found.similar(vectors[0], 0, limit=99)}
    assert flat.id in {hit.vector_id for hit in found.similar(vectors[0], 2, limit=99)}
    with pytest.raises(VectorError, match="zero at layer 0"):
        found.similar(flat, 0)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_no_direction_is_refused(memory: Memory, value: float) -> None:
    with pytest.raises(VectorError, match="no neighbours"):
        Neighbours(memory).nearest(np.full(WIDTH, value, np.float32), FINGERPRINT, 0)


def test_only_what_is_new_is_read_and_anyone_may_have_written_it(
    memory: Memory, vectors: list[SteeringVector], path: Path, reads: list[str]
) -> None:
    found = Neighbours(memory)
    found.similar(vectors[0], 0)
    assert len(reads) == len(vectors)
    found.similar(vectors[1], 0)
    assert len(reads) == len(vectors)
    new = 2.0 * vectors[0]
    with Memory.open(path) as another:
        another.put_vector(new)
        another.put_generations([])
    assert found.similar(vectors[0], 0)[0].vector_id == new.id
    assert reads[len(vectors) :] == [f"Vector {new.id}"]


def test_what_is_deleted_is_found_no_more(
    memory: Memory, vectors: list[SteeringVector], reads: list[str]
) -> None:
    found = Neighbours(memory)
    expected = by_hand(vectors, vectors[0], 0)
    assert found.similar(vectors[0], 0)[0].vector_id == expected[0]
    with memory.connection.write() as db:
        db.execute("DELETE FROM artefacts WHERE id = ?", [expected[0]])
    assert [hit.vector_id for hit in found.similar(vectors[0], 0, limit=99)] == expected[1:]
    assert len(reads) == len(vectors)


def test_an_altered_vector_is_named_and_left_out_and_back_when_mended(
    memory: Memory, vectors: list[SteeringVector], path: Path
) -> None:
    best = by_hand(vectors, vectors[0], 0)
    alter_blob(path, best[0])
    with Memory.open(path) as again:
        found = Neighbours(again)
        with pytest.warns(UserWarning, match=best[0]):
            assert found.similar(vectors[0], 0)[0].vector_id == best[1]
        quarantine(again, check(again).faults)
        assert found.similar(vectors[0], 0)[0].vector_id == best[1]
        again.put_vector(next(one for one in vectors if one.id == best[0]))
        assert found.similar(vectors[0], 0)[0].vector_id == best[0]


@given(values=st.lists(st.integers(-5, 5).map(float), max_size=30), limit=st.integers(1, 35))
def test_the_highest_are_in_order_with_the_earlier_of_equals_first(
    values: list[float], limit: int
) -> None:
    array = np.array(values, dtype=np.float32)
    found = highest(array, limit)
    chosen = [values[place] for place in found]
    assert chosen == sorted(values, reverse=True)[:limit]
    assert found == sorted(found, key=lambda place: (-values[place], place))
