"""Files of torch.save: vectors of steering-vectors and persona vectors, and hostile ones."""

from __future__ import annotations

import os
import pickle
import sys
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import VectorError
from selfsteer.steering.formats.persona_vectors import decode_persona_vectors
from selfsteer.steering.formats.steering_vectors import decode_steering_vectors
from selfsteer.steering.formats.torch_file import load_torch_file
from tests.steering.formats.makers import repickled, saved, with_twin

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
Layers = dict[int, torch.Tensor]


@dataclass
class SteeringVector:
    """The library's class, as far as pickles are concerned."""

    layer_activations: Layers = field(default_factory=dict)
    layer_type: str = "decoder_block"


SteeringVector.__module__ = "steering_vectors.steering_vector"


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets pickle write the class under the library's name."""
    for name in ("steering_vectors", "steering_vectors.steering_vector"):
        module: Any = ModuleType(name)
        module.SteeringVector = SteeringVector
        monkeypatch.setitem(sys.modules, name, module)


@st.composite
def layers(draw: st.DrawFn) -> Layers:
    width, dtype = draw(st.integers(1, 5)), draw(st.sampled_from(DTYPES))
    numbers = st.lists(st.floats(-9, 9, width=16), min_size=width, max_size=width)
    chosen = draw(st.sets(st.integers(0, 5), min_size=1))
    return {layer: torch.tensor(draw(numbers), dtype=dtype) for layer in chosen}


def same(found: Layers, expected: Layers) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[layer], value) for layer, value in expected.items()
    )


@given(layers())
def test_fields_and_activations_alone(vector: Layers) -> None:
    for value in (vector, {"layer_activations": vector}, asdict(SteeringVector(vector))):
        assert same(decode_steering_vectors(saved(value), "f", 6).directions, vector)


def test_the_object_itself_without_its_library(
    library: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = {1: torch.ones(3), 2: torch.arange(3.0)}
    data = saved(SteeringVector(vector))
    monkeypatch.setitem(sys.modules, "steering_vectors.steering_vector", None)
    assert same(decode_steering_vectors(data, "f", 3).directions, vector)


def test_negative_layers_count_from_the_end() -> None:
    found = decode_steering_vectors(saved({-1: torch.ones(2), 0: torch.zeros(2)}), "f", 4)
    assert sorted(found.directions) == [0, 3]
    with pytest.raises(VectorError, match="two directions for layer 3"):
        decode_steering_vectors(saved({-1: torch.ones(2), 3: torch.ones(2)}), "f", 4)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "no layer activations"),
        (torch.ones(3), "no layer activations"),
        ({"layer_activations": {0: torch.ones(2)}, "layer_type": "mlp"}, "a place inside a block"),
        ({"layer_activations": {0: torch.ones(2)}, "layer_type": []}, "a place inside a block"),
        ({"a": torch.ones(2)}, "layer 'a'"),
        ({True: torch.ones(2)}, "layer True"),
        ({4: torch.ones(2)}, "blocks 0 to 3"),
        ({10**99: torch.ones(2)}, r"layer 10*…;"),
        ({10**5000: torch.ones(2)}, "torch cannot read it"),
        ({0: [1.0]}, "a list where a tensor"),
        ({0: torch.ones(2, dtype=torch.int64)}, "only tensors in plain"),
        ({0: torch.ones(1).expand(10**12)}, "larger than the file"),
    ],
)
def test_what_is_no_vector_of_steering_vectors(value: Any, reason: str) -> None:
    with pytest.raises(VectorError, match=reason):
        decode_steering_vectors(saved(value), "f", 4)


@given(st.integers(1, 5), st.sampled_from(DTYPES))
def test_a_persona_vector_loses_its_last_row(blocks: int, dtype: torch.dtype) -> None:
    rows = torch.arange((blocks + 1) * 3.0).reshape(blocks + 1, 3).to(dtype)
    found = decode_persona_vectors(saved(rows), "f", blocks)
    assert same(found.directions, {row - 1: rows[row] for row in range(blocks)})
    assert found.notes == {"left_out": f"row {blocks}, which is after the final norm"}


@pytest.mark.parametrize("value", [torch.ones(4, 2), torch.ones(5), {0: torch.ones(2)}])
def test_what_is_no_persona_vector(value: Any) -> None:
    with pytest.raises(VectorError, match=r"f (has shape|holds a dict)"):
        decode_persona_vectors(saved(value), "f", 4)


class Payload:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_executed(tmp_path: Any, protocol: int) -> None:
    canary = tmp_path / "canary"
    attack = pickle.dumps({0: Payload(os.system, f"touch {canary}")}, protocol)
    with pytest.raises(VectorError, match="nothing is executed"):
        load_torch_file(repickled(saved({}), lambda _: attack), "f")
    assert not canary.exists()
    # On the list of torch, but able to ask for any amount of memory.
    large = pickle.dumps({0: Payload(torch.Tensor, 10**10)}, protocol)
    with pytest.raises(VectorError, match="nothing is executed"):
        load_torch_file(repickled(saved({}), lambda _: large), "f")


@pytest.mark.parametrize("name", ["DATA.PKL", "data.PKL", "Data.pkl"])
def test_the_pickle_that_is_looked_at_is_the_one_that_torch_reads(name: str) -> None:
    """Torch takes names without regard to case, and of equal ones another than Python does."""
    large = b"\x80\x02cbuiltins\nbytearray\nM\x10\x00\x85R."
    with pytest.raises(VectorError, match="two parts whose names differ in case only"):
        load_torch_file(with_twin(saved({}), name, large), "f")


def test_bytes_before_and_behind_an_archive() -> None:
    """Readers of zip files differ in where they look for one: torch sees what was looked at."""
    data, other = saved({"a": torch.ones(1)}), saved({"b": torch.ones(1)})
    for joined in (other + data, b"#!" + data):
        assert set(load_torch_file(joined, "f")) == {"a"}


def test_other_files_of_torch_and_none_at_all() -> None:
    data = saved(OrderedDict(a=torch.ones(4)))
    assert load_torch_file(data, "f")["a"].tolist() == [1] * 4
    with pytest.raises(VectorError, match="compressed"):
        load_torch_file(repickled(data, lambda same: same, compress=True), "f")
    for broken in (b"", b"PK\x03\x04", pickle.dumps({}), data[: len(data) // 2]):
        with pytest.raises(VectorError, match=r"not a file of torch\.save"):
            load_torch_file(broken, "f")
    with pytest.raises(VectorError, match="cannot be parsed"):
        load_torch_file(repickled(data, lambda _: b"\xff"), "f")
    with pytest.raises(VectorError, match="torch cannot read it"):
        load_torch_file(repickled(data, lambda _: b"\x80\x02."), "f")


def test_deep_nesting() -> None:
    deep, names = 10**5, [b"layer_activations", b"layer_type"]
    first, second = (b"X" + len(name).to_bytes(4, "little") + name for name in names)
    instructions = b"\x80\x02}(" + first + b"}" + second + b"]" * deep + b"a" * (deep - 1) + b"u."
    with pytest.raises(VectorError, match="steers a list"):
        decode_steering_vectors(repickled(saved({}), lambda _: instructions), "f", 4)
