"""First questions that SQLite answers itself, on Pythons that let it load sqlite-vec."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import numpy as np
import pytest
import torch

from selfsteer.memory import Memory, neighbours
from selfsteer.memory.neighbours import Neighbours
from selfsteer.memory.scanning import can_scan, scan
from selfsteer.steering.vectors import SteeringVector
from tests.memory.damage import misdeed

FINGERPRINT = "f" * 64
WIDTH = 8
loads = pytest.mark.skipif(
    not hasattr(sqlite3.Connection, "enable_load_extension"),
    reason="this Python was built without extensions of SQLite",
)


@pytest.fixture
def vectors(memory: Memory, vector: SteeringVector) -> list[SteeringVector]:
    """Forty stored vectors of one student, and others that are no neighbours of theirs."""
    generator = torch.Generator().manual_seed(1)

    def made(width: int = WIDTH, **changes: object) -> SteeringVector:
        rows = {layer: 9 * torch.randn(width, generator=generator) for layer in (-1, 2)}
        norms = dict.fromkeys(rows, 1.0)
        wanted = {"directions": rows, "residual_norms": norms, "student_fingerprint": FINGERPRINT}
        one = replace(vector, **(wanted | changes))  # type: ignore[arg-type]
        memory.put_vector(one)
        return one

    found = [made() for _ in range(40)]
    made(student_fingerprint="e" * 64)
    made(width=2 * WIDTH)
    zero = {-1: torch.zeros(WIDTH), 2: torch.ones(WIDTH)}
    made(directions=zero)
    return found


def alter(memory: Memory, name: str, at: int, byte: int) -> None:
    """Change a byte of a blob behind the back of the memory; `at` as Python counts."""
    row = memory.connection.query("SELECT data FROM artefacts WHERE id = ?", [name])[0]
    data = bytearray(row["data"])
    data[at] = byte
    misdeed(memory.path, "UPDATE artefacts SET data = ? WHERE id = ?", bytes(data), name)


def ids(memory: Memory, asked: SteeringVector, layer: int, limit: int = 12) -> list[str]:
    return scan(memory.connection, asked.unit(layer).numpy(), FINGERPRINT, layer, limit)


def test_it_is_asked_for_only_where_it_can_be_loaded(memory: Memory) -> None:
    assert can_scan(memory.connection) == hasattr(sqlite3.Connection, "enable_load_extension")
    assert not memory.connection.load_extension("no/such/extension")


@loads
@pytest.mark.parametrize("layer", [-1, 2])
def test_a_first_question_has_the_answer_of_a_second(
    memory: Memory, vectors: list[SteeringVector], layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    decode = neighbours.decode_direction

    def noted(data: bytes, layer: int, source: str) -> torch.Tensor:
        read.append(source)
        return decode(data, layer, source)

    monkeypatch.setattr(neighbours, "decode_direction", noted)
    for asked in vectors[:5]:
        found = Neighbours(memory)
        read.clear()
        first = found.similar(asked, layer, limit=12)
        assert len(read) == 13  # itself among them
        second = found.similar(asked, layer, limit=12)
        assert len(read) > 13 + 40  # all of them, for the matrix
        assert [one.vector_id for one in first] == [one.vector_id for one in second]
        cosines = [one.cosine for one in second]
        assert [one.cosine for one in first] == pytest.approx(cosines, abs=1e-6)


@loads
def test_what_is_no_direction_is_no_neighbour(
    memory: Memory, vectors: list[SteeringVector]
) -> None:
    assert can_scan(memory.connection)
    assert set(ids(memory, vectors[0], -1, limit=100)) == {one.id for one in vectors}
    assert len(ids(memory, vectors[0], 2, limit=100)) == len(vectors) + 1


@loads
@pytest.mark.parametrize(("at", "byte"), [(0, 255), (1, 255), (2, 255), (8, 0), (20, 0)])
def test_a_damaged_header_costs_its_own_vector_only(
    memory: Memory, vectors: list[SteeringVector], at: int, byte: int
) -> None:
    assert can_scan(memory.connection)
    whole = ids(memory, vectors[0], 2, limit=100)
    alter(memory, vectors[7].id, at, byte)
    left = ids(memory, vectors[0], 2, limit=100)
    assert left in (whole, [name for name in whole if name != vectors[7].id])


@loads
def test_altered_numbers_are_found_out(memory: Memory, vectors: list[SteeringVector]) -> None:
    """What the scan finds is verified; where that fails the matrix answers, without it."""
    nearest = Neighbours(memory).similar(vectors[0], 2, limit=3)
    alter(memory, nearest[0].vector_id, -1, 0x3F)
    with pytest.warns(UserWarning, match="has been altered"):
        found = Neighbours(memory).nearest(np.asarray(vectors[0].unit(2)), FINGERPRINT, 2, 40)
    assert nearest[0].vector_id not in {one.vector_id for one in found}
    assert len(found) == len(vectors)  # less the altered one, more the one of ones
