"""GGUF control vectors: round trips, what the reader accepts, what it refuses."""

from __future__ import annotations

import struct
import sys
from typing import Any

import gguf as peer
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from selfsteer.errors import VectorError
from selfsteer.steering.formats.control_vector import decode_control_vector, encode_control_vector
from tests.steering.formats.makers import gguf

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def directions(draw: st.DrawFn) -> dict[int, torch.Tensor]:
    layers = draw(st.sets(st.integers(1, 999), min_size=1, max_size=4))
    width = draw(st.integers(1, 40))
    numbers = hnp.arrays("float32", width, elements=finite)
    return {layer: torch.from_numpy(draw(numbers)) for layer in layers}


@given(directions(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_round_trip_is_exact(vector: dict[int, torch.Tensor], hint: str) -> None:
    data = encode_control_vector(vector, hint)
    assert encode_control_vector(vector, hint) == data
    found = decode_control_vector(data, "f")
    assert found.notes == {"model_hint": hint}
    assert found.directions.keys() == vector.keys()
    assert all(torch.equal(found.directions[k], value) for k, value in vector.items())


def test_the_reader_of_llama_cpp_finds_what_it_needs(tmp_path: Any) -> None:
    path = tmp_path / "v.gguf"
    path.write_bytes(encode_control_vector({1: torch.ones(3), 7: torch.arange(3.0)}, "llama"))
    reader = peer.GGUFReader(path)

    def text(key: str) -> str:
        return bytes(reader.get_field(key).parts[-1]).decode()

    assert text("general.architecture") == "controlvector"
    assert text("controlvector.model_hint") == "llama"
    assert reader.get_field("controlvector.layer_count").parts[-1][0] == 2
    assert [tensor.name for tensor in reader.tensors] == ["direction.1", "direction.7"]
    for tensor in reader.tensors:
        assert tensor.tensor_type == peer.GGMLQuantizationType.F32
    assert np.array_equal(reader.tensors[1].data, [0, 1, 2])


def test_files_of_other_writers() -> None:
    metadata: dict[str, str | int] = {
        "general.architecture": "controlvector",
        "general.alignment": 32,
        "other.number": 7,
    }
    data = gguf({"direction.0": [1, 2], "direction.12": [3, 4]}, metadata, version=2)
    found = decode_control_vector(data, "f")
    assert {k: v.tolist() for k, v in found.directions.items()} == {0: [1, 2], 12: [3, 4]}
    assert found.notes == {}


def test_metadata_arrays_are_passed_over() -> None:
    plain = gguf({"direction.1": [5]}, {"general.architecture": "controlvector"})
    at = plain.index(b"direction.1") - 8
    key = struct.pack("<Q", 1) + b"a"
    numbers = key + struct.pack("<IIQ3H", 9, 2, 3, 1, 2, 3)
    texts = (
        key.replace(b"a", b"b") + struct.pack("<IIQ", 9, 8, 2) + 2 * (struct.pack("<Q", 1) + b"x")
    )
    head = bytearray(plain[:at] + numbers + texts + plain[at : plain.index(b"direction.1") + 35])
    head[16:24] = struct.pack("<Q", 3)
    head += bytes(-len(head) % 32)
    data = bytes(head) + struct.pack("<f", 5)
    assert decode_control_vector(data, "f").directions[1].tolist() == [5]
    nested = key + struct.pack("<I", 9) + 9 * struct.pack("<IQ", 9, 1)
    deep = plain[:16] + struct.pack("<Q", 1) + nested
    with pytest.raises(VectorError, match="unknown type"):
        decode_control_vector(deep, "f")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GGUX", "not a GGUF"),
        (gguf({"direction.1": [1]}, version=1), "version 1"),
        (gguf({"direction.1": [1]}, version=3 << 24), "other byte order"),
        (gguf({"direction.1": [1]}, {"general.architecture": "llama"}), "architecture 'llama'"),
        (gguf({"direction.1": [1]}, {}), "architecture None"),
        (gguf({"direction.1": [1]}, kind=1), "not F32"),
        (gguf({"direction.1": [1]}, dimensions=2), "2 dimensions"),
        (gguf({"direction.1": [1]}, offset=32), "outside the file"),
        (gguf({"direction.1": [1]}, offset=4), "outside the file"),
        (gguf({"direction.-1": [1]}), "named 'direction.-1'"),
        (gguf({"direction.01": [1]}), "named 'direction.01'"),
        (gguf({"weight": [1]}), "named 'weight'"),
        (
            gguf({"direction.1": [1]}, {"general.alignment": 48}),
            "alignment 48",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "claims"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63), "too long"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 100), "truncated"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"\xff", "UTF-8"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(VectorError, match=reason):
        decode_control_vector(data, "f")


def test_a_name_twice_and_overlapping_tensors_are_refused() -> None:
    data = gguf({"direction.1": [1] * 8, "direction.2": [2] * 8})
    twice = data.replace(b"direction.2", b"direction.1")
    with pytest.raises(VectorError, match="twice"):
        decode_control_vector(twice, "f")
    # Many tensors that all lie on the same bytes would take much more memory than the file.
    record = data.index(b"direction.1") - 8
    many = data[:8] + struct.pack("<Q", 90) + data[16:record]
    for number in range(90):
        name = f"direction.{number + 10}".encode()
        many += struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, 64, 0, 0)
    with pytest.raises(VectorError, match="larger than the file"):
        decode_control_vector(many + bytes(400), "f")


@pytest.mark.parametrize("vector", [{}, {0: torch.ones(1), 1: torch.ones(1)}, {-1: torch.ones(1)}])
def test_layers_that_cannot_be_written(vector: dict[int, torch.Tensor]) -> None:
    with pytest.raises(VectorError, match="layers from 1 on"):
        encode_control_vector(vector, "llama")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(VectorError, match=r"pip install 'selfsteer\[gguf\]'"):
        encode_control_vector({1: torch.ones(1)}, "llama")
    assert decode_control_vector(gguf({"direction.1": [1]}), "f").directions[1].item() == 1
