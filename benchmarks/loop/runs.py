"""One goal at one seed, through the loop: its verdict, and what the oracle says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.card.steerability import EXPRESSION, WELL_FORMED
from selfsteer.agents.controller import Controller
from selfsteer.agents.loop import run_goal
from selfsteer.agents.settings import RunSettings
from selfsteer.agents.types import Goal
from selfsteer.app.demo import GoalOutcome, outcome_of
from selfsteer.memory.store import Memory
from selfsteer.pocket.showcase import ShowcaseGoal
from selfsteer.steering.capability import bundled_capability
from selfsteer.steering.model import Student

Build = Callable[[Student], Controller]


def run(
    student: Student, memory: Memory, goal: ShowcaseGoal, seed: int, build: Build
) -> GoalOutcome:
    """Run the loop from nothing."""
    settings = RunSettings(goal=Goal(text=goal.text), seed=seed, use_memory=False)
    questions = bundled_capability("pocket")
    ended = run_goal(student, build(student), memory, settings, capability=questions)
    return outcome_of(memory, ended, goal)


def figures(outcome: GoalOutcome) -> dict[str, Any]:
    """What is kept of an outcome, as JSON values."""
    met = (
        outcome.steered is not None
        and outcome.steered.value >= EXPRESSION
        and (outcome.well_formed or 0.0) >= WELL_FORMED
    )
    return {"run": outcome.run_id, "met": met, **outcome.to_json()}
