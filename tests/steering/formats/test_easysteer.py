"""EasySteer's specs: what an engine that follows the spec adds is what was asked for."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfsteer.steering.formats.coefficients import as_added
from selfsteer.steering.formats.control_vector import FIRST_LAYER, decode_control_vector
from selfsteer.steering.formats.exchange import export_vector
from selfsteer.steering.formats.foreign import FormatWarning
from selfsteer.steering.vectors import SteeringVector

numbers = st.floats(-99, 99, width=32)


@st.composite
def vectors(draw: st.DrawFn) -> SteeringVector:
    """Any layers, one of which GGUF has a place for; directions of any length but zero."""
    layers = draw(st.sets(st.integers(-1, 9)).map(lambda some: some | {4}))
    width = draw(st.integers(1, 6))
    rows = st.lists(numbers, min_size=width, max_size=width).filter(any)
    return SteeringVector(
        directions={layer: torch.tensor(draw(rows)) for layer in layers},
        residual_norms={layer: draw(st.floats(0.01, 100)) for layer in layers},
        method="pca",
        selector="last",
        concept=draw(st.text(st.characters(codec="utf-8"), max_size=9)),
        dataset_id="",
        student_fingerprint="f",
    )


def added(spec: Path) -> dict[int, torch.Tensor]:
    """What an engine adds: its documentation's `direct`, over the file that the spec names."""
    (told,) = json.loads(spec.read_text(encoding="utf-8"))["vectors"]
    assert (told["algorithm"], told["apply"]) == ("direct", {"prompt": "all", "generation": "all"})
    found = decode_control_vector(Path(told["source"]).read_bytes(), "f").directions
    assert found.keys() == set(told["layers"])
    return {layer: told["scale"] * found[layer] for layer in told["layers"]}


@settings(max_examples=40)
@given(vectors(), st.none() | st.floats(-3, 3))
def test_a_spec_says_what_was_exported(vector: SteeringVector, strength: float | None) -> None:
    expected = vector.directions if strength is None else as_added(vector, strength)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FormatWarning)  # of the layers without a place
        spec, gguf = export_vector(
            vector, Path(folder, "v.json"), format="easysteer", strength=strength
        )
        found = added(spec)
        assert gguf.parent == spec.parent
    assert found.keys() == {layer for layer in vector.layers if layer >= FIRST_LAYER}
    for layer, value in found.items():
        assert torch.equal(value, expected[layer].float())
