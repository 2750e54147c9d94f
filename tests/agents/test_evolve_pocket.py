"""Evolution on the bundled student: selection finds out which founder serves the goal."""

from __future__ import annotations

from typing import Any

import pytest

from selfsteer.agents import evolve
from selfsteer.agents.evolve import evolve_goal
from selfsteer.agents.evolving.settings import Evolution, EvolveSettings
from selfsteer.agents.probes import ProbeSplits, deal_probes
from selfsteer.agents.self_controller import SelfController
from selfsteer.agents.settings import Effort
from selfsteer.agents.types import Goal
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.vectors import SteeringVector

GOAL, OPPOSITE = "I want it to sound gloomy", "I want it to sound cheerful"


def deal_some(seed: int) -> ProbeSplits:
    dealt = deal_probes(seed)
    sizes = {"extraction": 16, "development": 8}
    return ProbeSplits(
        **{name: getattr(dealt, name)[: sizes.get(name, 2)] for name in ProbeSplits.model_fields}
    )


def direction(student: Student) -> SteeringVector:
    """From replies under the opposite to replies under the goal."""
    prompts = [prompt.messages[-1].content for prompt in deal_some(0).extraction]

    def replies(goal: str) -> list[Example]:
        told = [Prompt.chat(text, system=goal) for text in prompts]
        said = generate(student, told, max_new_tokens=32, seed=0)
        pairs = zip(prompts, said, strict=True)
        return [Example(prompt=Prompt.chat(text), completion=one.text) for text, one in pairs]

    pairs = zip(replies(GOAL), replies(OPPOSITE), strict=True)
    return extract_vector(
        student,
        ContrastiveDataset(
            concept="up", pairs=tuple(ContrastivePair(positive=p, negative=n) for p, n in pairs)
        ),
    )


def test_of_a_vector_and_its_opposite_selection_keeps_the_one_that_serves(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evolve, "deal_probes", deal_some)
    student = Student.load("pocket")
    up = direction(student)
    down = -1 * up
    effort = Effort(
        development_prompts=8,
        finalists=1,
        finalist_samples=1,
        confirmation_samples=1,
        report_samples=0,
    )
    with Memory.open(tmp_path / "memory.db") as memory:
        for vector in (up, down):
            memory.put_vector(vector)
        run = evolve_goal(
            student,
            SelfController(student),
            memory,
            EvolveSettings(
                goal=Goal(text=GOAL),
                effort=effort,
                max_new_tokens=32,
                strengths=(0.3, 1.0),
                evolution=Evolution(founders=(up.id, down.id), generations=2, population=8),
            ),
        )
        turns: list[Any] = [
            event.payload for event in memory.runs.events(run.id) if event.kind == "generation"
        ]
    first, last = (turn["evolved"]["drift"][up.id] for turn in (turns[0], turns[-1]))
    assert first == pytest.approx(0, abs=1e-6)  # half of the founders point either way
    assert last > 0.3
    assert turns[-1]["evolved"]["median"] > turns[0]["evolved"]["median"]
