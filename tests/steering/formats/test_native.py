"""The safetensors format: exact round trips, atomic writes, refusals."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import save

from selfsteer.errors import VectorError
from selfsteer.steering.formats import foreign, native
from selfsteer.steering.vectors import SteeringVector

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def vectors(draw: st.DrawFn) -> SteeringVector:
    layers = draw(st.sets(st.integers(-1, 200), min_size=1, max_size=4))
    width = draw(st.integers(1, 6))
    numbers = hnp.arrays("float32", width, elements=finite)
    positive = st.floats(min_value=1e-30, max_value=1e30)
    return SteeringVector(
        directions={layer: torch.from_numpy(draw(numbers)) for layer in layers},
        residual_norms={layer: draw(positive) for layer in layers},
        method=draw(texts),
        selector=draw(texts),
        concept=draw(texts),
        dataset_id=draw(texts),
        student_fingerprint=draw(texts),
        parents=tuple(draw(st.lists(texts, max_size=2))),
        notes=draw(st.dictionaries(texts, json_values, max_size=2)),
    )


@settings(deadline=None)
@given(vectors())
def test_round_trip_is_exact(vector: SteeringVector) -> None:
    data = vector.to_bytes()
    again = SteeringVector.from_bytes(data)
    assert again.id == vector.id
    assert again.created == vector.created
    assert again.notes == vector.notes
    assert again.residual_norms == vector.residual_norms
    for layer in vector.layers:
        assert torch.equal(again.directions[layer], vector.directions[layer])
    assert again.to_bytes() == data


@pytest.fixture
def vector() -> SteeringVector:
    return SteeringVector(
        directions={0: torch.tensor([1.0, 2.0]), 1: torch.tensor([3.0, 4.0])},
        residual_norms={0: 1.5, 1: 2.5},
        method="pca",
        selector="response",
        concept="cheerful",
        dataset_id="d",
        student_fingerprint="f",
    )


def reheaded(vector: SteeringVector, **changes: object) -> bytes:
    """The vector's file with fields of its header changed."""
    data = vector.to_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["selfsteer"]) | changes
    tensors = {f"direction.{layer}": value for layer, value in vector.directions.items()}
    return save(tensors, metadata={"selfsteer": json.dumps(header)})


def test_save_and_load(vector: SteeringVector, tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    vector.save(path)
    vector.save(path)  # replaces
    assert SteeringVector.load(path) == vector
    assert [file.name for file in tmp_path.iterdir()] == ["v.safetensors"]


def test_failed_write_leaves_the_old_file_and_no_litter(
    vector: SteeringVector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v.safetensors"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(native.os, "fsync", full)
    with pytest.raises(VectorError, match="No space left"):
        vector.save(path)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_missing_folder_and_missing_file(vector: SteeringVector, tmp_path: Path) -> None:
    with pytest.raises(VectorError, match="Cannot write"):
        vector.save(tmp_path / "nowhere" / "v.safetensors")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(VectorError, match=r"Cannot write .*: Not a directory"):
        vector.save(tmp_path / "file" / "v.safetensors")
    with pytest.raises(VectorError, match=r"Cannot write .*: File name too long"):
        vector.save(tmp_path / ("v" * 300))
    with pytest.raises(VectorError, match="Cannot read"):
        SteeringVector.load(tmp_path / "nothing")
    long = tmp_path / "long"
    with long.open("wb") as file:
        file.truncate(foreign.MAX_BYTES + 1)  # sparse: it takes no room on the disk
    with pytest.raises(VectorError, match="larger than 256 MiB, so it is no steering vector"):
        SteeringVector.load(long)


def test_every_truncation_is_refused(vector: SteeringVector) -> None:
    data = vector.to_bytes()
    for length in range(len(data)):
        with pytest.raises(VectorError):
            SteeringVector.from_bytes(data[:length])


def test_a_flipped_number_is_noticed(vector: SteeringVector) -> None:
    data = bytearray(vector.to_bytes())
    data[-1] ^= 1
    with pytest.raises(VectorError, match="damaged"):
        SteeringVector.from_bytes(bytes(data))


def test_newer_schema_and_foreign_files(vector: SteeringVector) -> None:
    with pytest.raises(VectorError, match="schema version 2 by a newer selfsteer"):
        SteeringVector.from_bytes(reheaded(vector, schema_version=2))
    with pytest.raises(VectorError, match="schema_version"):
        SteeringVector.from_bytes(reheaded(vector, schema_version="one"))
    with pytest.raises(VectorError, match="format"):
        SteeringVector.from_bytes(reheaded(vector, format="something.else"))
    with pytest.raises(VectorError, match="not a selfsteer vector"):
        SteeringVector.from_bytes(save({"weight": torch.ones(2)}))
    with pytest.raises(VectorError, match="not a safetensors"):
        SteeringVector.from_bytes(b"\x10\0\0\0\0\0\0\0hello, this is no tensor file")
    foreign = save({"weight": torch.ones(2)}, metadata={"selfsteer": header_text(vector)})
    with pytest.raises(VectorError, match="tensor named 'weight'"):
        SteeringVector.from_bytes(foreign)


def header_text(vector: SteeringVector) -> str:
    data = vector.to_bytes()
    length = int.from_bytes(data[:8], "little")
    return str(json.loads(data[8 : 8 + length])["__metadata__"]["selfsteer"])


def test_other_dtypes_and_infinite_values_are_refused(vector: SteeringVector) -> None:
    metadata = {"selfsteer": header_text(vector)}
    half = {f"direction.{k}": v.half() for k, v in vector.directions.items()}
    with pytest.raises(VectorError, match="float32"):
        SteeringVector.from_bytes(save(half, metadata=metadata))
    infinite = {f"direction.{k}": v / 0 for k, v in vector.directions.items()}
    with pytest.raises(VectorError, match=r"cannot be used.*NaN or infinite"):
        SteeringVector.from_bytes(save(infinite, metadata=metadata))


def test_mutated_files_raise_only_our_error(vector: SteeringVector) -> None:
    original = vector.to_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(1500):
        data = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.choice(b'\x00\xff0129[]{},:"eF')
        try:
            SteeringVector.from_bytes(bytes(data))
        except VectorError:
            refused += 1
    assert refused > 1400
