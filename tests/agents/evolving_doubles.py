"""Founders of the tiny student, and settings of evolutions of about a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from selfsteer.agents import evolve
from selfsteer.agents.evolving.settings import Evolution, EvolveSettings
from selfsteer.agents.types import Goal
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from selfsteer.steering.vectors import SteeringVector
from tests.agents.doubles import EASY, EFFORT, GOAL, deal_few
from tests.steering.students import build_vector


def found(student: Student, memory: Memory, count: int = 2) -> list[SteeringVector]:
    """Random vectors of a student, in memory."""
    vectors = [build_vector(student, seed=seed) for seed in range(count)]
    for vector in vectors:
        memory.put_vector(vector)
    return vectors


def evolving(founders: Sequence[SteeringVector], **changes: Any) -> EvolveSettings:
    """Settings of a short evolution."""
    goal = Goal(text=changes.pop("goal", GOAL), thresholds=changes.pop("thresholds", EASY))
    shape = {"generations": 2, "population": 4, "elites": 1} | changes.pop("evolution", {})
    return EvolveSettings(
        **(
            {
                "goal": goal,
                "effort": EFFORT,
                "seed": 3,
                "max_new_tokens": 8,
                "strengths": (0.02, 0.2),
            }
            | changes
        ),
        evolution=Evolution(founders=tuple(vector.id for vector in founders), **shape),
    )


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deal few probes to evolutions."""
    monkeypatch.setattr(evolve, "deal_probes", deal_few)
