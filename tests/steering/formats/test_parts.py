"""Files of subspaces and erasures: they come back as they went, or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load

from selfsteer.errors import VectorError
from selfsteer.steering.extraction.erasure import Erasure
from selfsteer.steering.extraction.leace import Eraser
from selfsteer.steering.extraction.subspace import Subspace
from selfsteer.steering.vectors import SteeringVector
from tests.steering.formats.makers import mutations
from tests.steering.formats.test_fuzz import native, refused

PROVENANCE = ("method", "selector", "gl\u00e4d \u2713", "d", "f", {"pairs": 3, "deep": [None, 1.5]})


def subspace(layers: set[int], k: int, width: int, seed: int = 0) -> Subspace:
    generator = torch.Generator().manual_seed(seed)
    bases = {
        layer: torch.linalg.qr(torch.randn(width, k, generator=generator)).Q.T for layer in layers
    }
    return Subspace(bases, *PROVENANCE)


def erasure(layers: set[int], k: int, width: int, seed: int = 0) -> Erasure:
    generator = torch.Generator().manual_seed(seed)
    mean, rows, other = (
        torch.randn(len(layers), *shape, generator=generator, dtype=torch.float64)
        for shape in ((width,), (width, k), (k, width))
    )
    left = torch.linalg.qr(rows).Q.mT
    right = left + other - (other @ left.mT) @ left  # what is outside of `left` is free
    return Erasure(tuple(sorted(layers)), Eraser(mean, left, right), *PROVENANCE)


MAKERS = {"subspace": subspace, "erasure": erasure}
sizes = st.tuples(
    st.sets(st.integers(-1, 99), min_size=1, max_size=4), st.integers(1, 3), st.integers(3, 6)
)


@pytest.mark.parametrize("kind", MAKERS)
@given(sizes, st.integers(0, 99))
def test_what_is_written_is_read(kind: str, size: tuple[set[int], int, int], seed: int) -> None:
    made: Any = MAKERS[kind](*size, seed)
    again = type(made).from_bytes(made.to_bytes())
    assert again == made
    assert again.layers == made.layers
    assert again.to_bytes() == made.to_bytes()
    assert (again.concept, again.notes) == (made.concept, made.notes)


def test_they_are_ordinary_safetensors_files(tmp_path: Path) -> None:
    made = erasure({2, -1}, 2, 5)
    made.save(tmp_path / "e.safetensors")
    assert Erasure.load(tmp_path / "e.safetensors") == made
    tensors = load((tmp_path / "e.safetensors").read_bytes())
    assert torch.equal(tensors["mean.-1"], made.eraser.mean[0])
    assert tensors.keys() == {f"{part}.{k}" for part in ("mean", "left", "right") for k in (2, -1)}
    other = subspace({1}, 2, 4)
    other.save(tmp_path / "s.safetensors")
    assert Subspace.load(tmp_path / "s.safetensors") == other
    assert load(other.to_bytes())["basis.1"].dtype == torch.float32


def test_each_kind_refuses_the_others() -> None:
    files = [native(), subspace({1}, 1, 4).to_bytes(), erasure({1}, 1, 4).to_bytes()]
    for at, kind in enumerate((SteeringVector, Subspace, Erasure)):
        for place, data in enumerate(files):
            if place == at:
                kind.from_bytes(data)
            else:
                with pytest.raises(VectorError, match=r"(is of the format|invalid header)"):
                    kind.from_bytes(data)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"basis.1", b"basis.x", "named 'basis.x', which no"),
        (b"basis.1", b"bases.1", "named 'bases.1', which no"),
        (b'"F32"', b'"I32"', "stores basis.1 as"),
        (b'schema_version\\": 1', b'schema_version\\": 9', "newer selfsteer"),
        (b'\\"concept\\"', b'\\"concert\\"', "invalid header"),
        (b"pairs", b"pears", "is damaged"),
    ],
)
def test_altered_files_are_refused(old: bytes, new: bytes, message: str) -> None:
    data = subspace({1}, 1, 4).to_bytes()
    assert old in data
    with pytest.raises(VectorError, match=message):
        Subspace.from_bytes(data.replace(old, new))


@pytest.mark.parametrize("kind", MAKERS)
def test_damaged_files_are_refused(kind: str) -> None:
    made: Any = MAKERS[kind]({1, 2}, 2, 4)
    assert refused(type(made).from_bytes, mutations(made.to_bytes(), 1500)) > 1400
