"""Fixtures for extraction: activations with a planted direction."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.steering.extraction.populations import Planted, planted_direction


@pytest.fixture
def planted() -> Callable[..., Planted]:
    """Builds activations and the unit direction ``[L, D]`` by which their sides differ."""
    return planted_direction
