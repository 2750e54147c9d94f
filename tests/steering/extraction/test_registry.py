"""Methods by name, the ones of third parties included."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from selfsteer.errors import VectorError
from selfsteer.steering.extraction import registry
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.design import Design
from selfsteer.steering.extraction.pca import pca


def positive_mean(activations: ContrastiveActivations) -> torch.Tensor:
    return activations.positive.mean(dim=1)


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))


def test_a_registered_method_is_used(planted: Callable[..., Any]) -> None:
    activations, _ = planted()
    registry.register("positive_mean", positive_mean)
    assert "positive_mean" in registry.methods()
    found = registry.extract("positive_mean", activations)
    torch.testing.assert_close(found, activations.positive.mean(dim=1))


def test_a_name_is_given_once() -> None:
    with pytest.raises(VectorError, match="already"):
        registry.register("pca", positive_mean)


def test_unknown_methods_are_refused_with_the_known_ones(planted: Callable[..., Any]) -> None:
    with pytest.raises(VectorError, match=r"'magic'.*mean_difference, pca"):
        registry.extract("magic", planted()[0])


def test_a_result_of_another_shape_is_refused(planted: Callable[..., Any]) -> None:
    registry.register("flat", lambda activations: activations.positive[0])
    with pytest.raises(VectorError, match=r"\[64, 256\].*\[2, 256\]"):
        registry.extract("flat", planted()[0])


@pytest.mark.parametrize(
    ("result", "message"),
    [([1.0], "returned list"), (torch.full((2, 256), float("nan")), "returned NaN")],
)
def test_a_result_that_is_no_direction_is_refused(
    result: Any, message: str, planted: Callable[..., Any]
) -> None:
    registry.register("odd", lambda activations: result)
    with pytest.raises(VectorError, match=message):
        registry.extract("odd", planted()[0])


def test_only_factorial_methods_take_a_design(planted: Callable[..., Any]) -> None:
    activations, _ = planted(pairs=4)
    design = Design({"order": ("first", "second") * 4})
    assert registry.extract("factorial", activations, design).shape == (2, 256)
    with pytest.raises(VectorError, match="'pca' takes no design; factorial does"):
        registry.extract("pca", activations, design)
    with pytest.raises(VectorError, match="Unknown extraction method 'magic'"):
        registry.extract("magic", activations, design)


METADATA = "Metadata-Version: 2.1\nName: third-party-methods\nVersion: 1.0\n"
PLUG_INS = """[selfsteer.extraction]
third_median = third_party_methods:median
third_missing = third_party_methods:no_such_function
third_absent = no_such_module_here:method
third_broken = third_party_broken:method
third_number = third_party_methods:NUMBER
pca = third_party_methods:median
"""
WORKING = """
NUMBER = 7

def median(activations):
    return (activations.positive - activations.negative).median(dim=1).values
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with methods that work and methods that do not, on the path."""
    info = tmp_path / "third_party_methods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(PLUG_INS)
    (tmp_path / "third_party_methods.py").write_text(WORKING)
    (tmp_path / "third_party_broken.py").write_text("raise RuntimeError('not on this machine')")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("third_party_methods", "third_party_broken"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("installed")
def test_plug_ins_are_listed_without_being_imported() -> None:
    assert {"third_median", "third_broken", "third_absent", "pca"} <= set(registry.methods())
    assert "third_party_methods" not in sys.modules
    with pytest.raises(VectorError, match="already"):
        registry.register("third_median", positive_mean)


@pytest.mark.usefixtures("installed")
def test_a_plug_in_is_a_method_like_any_other(planted: Callable[..., Any]) -> None:
    activations, truth = planted()
    found = registry.extract("third_median", activations)
    assert torch.nn.functional.cosine_similarity(found, truth, dim=-1).min() > 0.9


@pytest.mark.usefixtures("installed")
def test_a_plug_in_does_not_hide_a_built_in_method(planted: Callable[..., Any]) -> None:
    activations, _ = planted()
    torch.testing.assert_close(registry.extract("pca", activations), pca(activations).float())


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("third_missing", "third_party_methods:no_such_function.*AttributeError"),
        ("third_absent", "no_such_module_here:method.*ModuleNotFoundError"),
        ("third_broken", "third_party_broken:method.*RuntimeError: not on this machine"),
        ("third_number", "third_party_methods:NUMBER.*is of type int"),
    ],
)
def test_a_broken_plug_in_is_named_when_it_is_asked_for(
    name: str, message: str, planted: Callable[..., Any]
) -> None:
    activations, _ = planted()
    registry.extract("mean_difference", activations)  # the broken one is in nobody's way
    with pytest.raises(VectorError, match=f"'{name}'.*'third-party-methods'.*{message}"):
        registry.extract(name, activations)
