"""Methods by name, the ones of third parties included."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
import torch

from selfsteer.errors import VectorError
from selfsteer.steering.extraction import registry
from selfsteer.steering.extraction.activations import ContrastiveActivations


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


def test_entry_points_are_found_and_failures_named(
    monkeypatch: pytest.MonkeyPatch, planted: Callable[..., Any]
) -> None:
    group = registry.ENTRY_POINT_GROUP
    points = EntryPoints(
        [
            EntryPoint("third", "operator:attrgetter", group),
            EntryPoint("broken", "no_such_module_here:method", group),
        ]
    )
    monkeypatch.setattr(registry, "entry_points", lambda **query: points.select(**query))
    assert {"third", "broken", "pca"} <= set(registry.methods())
    with pytest.raises(VectorError, match="no_such_module_here"):
        registry.extract("broken", planted()[0])
    with pytest.raises(TypeError):  # attrgetter was called, on something that is no name
        registry.extract("third", planted()[0])
