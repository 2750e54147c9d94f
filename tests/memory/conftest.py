"""A memory in a temporary folder, and small things to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from selfsteer.memory import Memory, Run
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.vectors import SteeringVector

FINGERPRINT = "f" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


@pytest.fixture
def memory(path: Path) -> Iterator[Memory]:
    with Memory.open(path) as opened:
        yield opened


@pytest.fixture
def run(memory: Memory) -> Run:
    return start(memory)


def start(memory: Memory, goal: str = "sound grumpy") -> Run:
    return memory.runs.start(
        goal,
        student="tiny",
        fingerprint=FINGERPRINT,
        controller="self",
        seed=3,
        settings={"rounds": 4},
    )


@pytest.fixture
def start_run() -> Callable[..., Run]:
    return start


@pytest.fixture
def vector() -> SteeringVector:
    generator = torch.Generator().manual_seed(0)
    return SteeringVector(
        directions={layer: torch.randn(8, generator=generator) for layer in (0, 2)},
        residual_norms={0: 1.0, 2: 2.5},
        method="mean_difference",
        selector="response",
        concept="grumpy",
        dataset_id="d" * 16,
        student_fingerprint=FINGERPRINT,
    )


@pytest.fixture
def dataset() -> ContrastiveDataset:
    sides = [
        Example(prompt=Prompt.chat("How are you?"), completion=completion)
        for completion in ("Go away.", "Fine, thank you. Ça va\u2009?")
    ]
    return ContrastiveDataset(
        concept="grumpy", pairs=(ContrastivePair(positive=sides[0], negative=sides[1]),)
    )
