"""The tiny students as fixtures, and the real ones where the shared folder is at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from selfsteer.steering.model import Student
from selfsteer.steering.vectors import SteeringVector
from tests.steering.students import FAMILIES, build_student, build_vector


@pytest.fixture(scope="session", params=FAMILIES)
def student(request: pytest.FixtureRequest) -> Student:
    """Each family in turn, with a chat template."""
    return build_student(request.param)


@pytest.fixture(scope="session")
def llama() -> Student:
    return build_student("llama")


@pytest.fixture(scope="session")
def mistral() -> Student:
    """Attention over a sliding window of 16 tokens."""
    return build_student("mistral")


@pytest.fixture(scope="session")
def plain() -> Student:
    """A student whose tokenizer has no chat template."""
    return build_student("llama", template=None)


@pytest.fixture(scope="session")
def vector_for() -> Callable[..., SteeringVector]:
    """Builds a random vector that belongs to a student."""
    return build_vector


@pytest.fixture(scope="session", params=["babyllama-105", "stories260K"])
def real_student(request: pytest.FixtureRequest) -> Student:
    """Small trained models with odd tokenizers; skipped where their folder is not there."""
    default = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("SELFSTEER_SHARED", default)) / "models" / request.param
    if not folder.is_dir():
        pytest.skip(f"no model at {folder}: set SELFSTEER_SHARED to the folder that holds models/")
    return Student.load(folder)
