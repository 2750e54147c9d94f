"""AISteer360's `.svec`: one direction a layer is read as it was written, all else is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import VectorError
from selfsteer.steering.formats import aisteer360
from selfsteer.steering.formats.aisteer360 import decode_aisteer360
from selfsteer.steering.formats.exchange import detect_format
from tests.steering.formats.makers import svec

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
ROW = torch.tensor([1.0, -2.0])


@st.composite
def layers(draw: st.DrawFn) -> dict[int, torch.Tensor]:
    """Rows ``[D]`` of one width and type for some layers."""
    width, dtype = draw(st.integers(1, 5)), draw(st.sampled_from(DTYPES))
    values = st.lists(st.floats(width=16, allow_nan=False), min_size=width, max_size=width)
    finite = values.filter(lambda row: all(abs(value) < 65000 for value in row))
    chosen = draw(st.sets(st.integers(0, 99), min_size=1, max_size=4))
    return {layer: torch.tensor(draw(finite), dtype=dtype) for layer in chosen}


@given(layers(), st.booleans())
def test_directions_come_back_to_the_last_bit(rows: dict[int, torch.Tensor], old: bool) -> None:
    """As ``[1, D]``, and as ``[D]``, which older files have."""
    data = svec(rows if old else {layer: row[None] for layer, row in rows.items()})
    assert detect_format(data, "f") == "aisteer360"
    found = decode_aisteer360(data, "f").directions
    assert found.keys() == rows.keys()
    for layer, row in rows.items():
        assert found[layer].dtype == torch.float32
        assert torch.equal(found[layer], row.float())


def test_what_else_the_file_says_is_kept() -> None:
    data = svec({3: ROW}, explained_variances={"3": 0.25}, head_dim=None)
    found = decode_aisteer360(b"\n " + data, "f")
    assert found.notes == {"model_type": "llama", "explained_variances": {"3": 0.25}}
    assert detect_format(b"\n " + data, "f") == "aisteer360"
    odd = svec({3: ROW}, explained_variances="high", model_type=7)
    assert decode_aisteer360(odd, "f").notes == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (svec({1: ROW.repeat(2, 1)}), "2 directions for layer 1"),
        (svec({1: ROW[None]}, num_heads=4), "steers attention heads"),
        (svec({}), "no .svec"),
        (b"{}", "no .svec"),
        (b"[1, 2]", "no .svec"),
        (svec({-1: ROW}), "layer '-1'"),
        (b'{"directions": {"01": [1]}}', "layer '01'"),
        (svec({1: [True, 1.0]}), "no list of numbers as the direction of layer 1"),
        (svec({1: []}), "no list of numbers"),
        (svec({1: [[]]}), "no list of numbers"),
        (svec({1: [[[1.0]]]}), "no list of numbers"),
        (svec({1: [1.0, [2.0]]}), "no list of numbers"),
        (svec({1: "1.0"}), "no list of numbers"),
        (svec({1: [float("nan")]}), "NaN is no number"),
        (svec({1: [float("-inf")]}), "-Infinity is no number"),
        (svec({1: ROW})[:-3], "truncated or no JSON"),
        (svec({1: ROW}).replace(b"llama", b"\xff"), "truncated or no JSON"),
        (b'{"directions": ' + b"[" * 10**5, "nested too deeply"),
    ],
)
def test_other_files_are_refused_in_a_sentence(data: bytes, message: str) -> None:
    with pytest.raises(VectorError, match=message):
        decode_aisteer360(data, "f")


def test_numbers_of_any_size_are_read_as_what_they_are() -> None:
    digits = json.dumps({"directions": {"1": [1, 10**300]}}).encode()
    found = decode_aisteer360(digits, "f").directions[1]
    assert found.tolist() == [1.0, float("inf")]  # which no vector takes


def test_a_file_of_more_values_than_fit_is_refused_unread(monkeypatch: Any) -> None:
    monkeypatch.setattr(aisteer360, "_MAX_VALUES", 3)
    assert decode_aisteer360(svec({1: [1.0, 2.0]}), "f").directions[1].tolist() == [1.0, 2.0]
    with pytest.raises(VectorError, match="more values than any"):
        decode_aisteer360(svec({1: [1.0, 2.0, 3.0]}), "f")
