"""The demo: goals whose truth is known, so that what the loop concludes can be checked.

The oracle scores replies that memory kept, after the loop has given its verdict; nothing here goes
back into the loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from selfsteer.agents.loop import run_goal
from selfsteer.agents.self_controller import SelfController
from selfsteer.agents.settings import RunSettings
from selfsteer.agents.types import Goal
from selfsteer.app.abreast import run_abreast
from selfsteer.app.controllers import Deciders
from selfsteer.app.inputs import Inputs
from selfsteer.app.output import literal, stderr
from selfsteer.app.report.data import Replies, report_replies, tried
from selfsteer.app.settings import AppSettings
from selfsteer.app.watch import watch
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.pocket.showcase import ShowcaseGoal, draw_goals
from selfsteer.steering.metrics.intervals import Interval, wilson
from selfsteer.steering.model import Student


@dataclass(frozen=True)
class Rate:
    """A rate by the oracle, with its Wilson interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class GoalOutcome:
    """What became of one goal; None where the loop never came so far.

    Attributes:
        base, prompt_only, steered: expression on report probes, by the oracle.
        accepted: the loop's own verdict.
        well_formed: of the steered replies, by the oracle.
        coherence: on report probes.
        retention: on the capability questions.
        n: replies of each arm.
        candidates: different plans that were tried.
    """

    goal: str
    run_id: str
    base: Rate | None
    prompt_only: Rate | None
    steered: Rate | None
    accepted: bool
    well_formed: float | None
    coherence: float | None
    retention: float | None
    n: int
    site: str | None
    layer: int | None
    strength: float | None
    operator: str | None
    candidates: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The outcome as `selfsteer demo --json` prints it."""
        return {
            "goal": self.goal,
            "base": _value(self.base),
            "prompt_only": _value(self.prompt_only),
            "steered": _value(self.steered),
            "accepted": self.accepted,
            "well_formed": self.well_formed,
            "coherence": self.coherence,
            "retention": self.retention,
            "n": self.n,
            "interval": None if self.steered is None else list(self.steered.interval),
            "layer": self.layer,
            "strength": self.strength,
            "operator": self.operator,
            "candidates": self.candidates,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class RecallOutcome:
    """What came of asking for a goal again.

    Attributes:
        recalled: whether the verdict is about the remembered vector.
        seconds, first_seconds: of the whole run, now and the first time.
    """

    goal: str
    run_id: str
    accepted: bool
    recalled: bool
    seconds: float
    first_seconds: float

    @property
    def ratio(self) -> float:
        """The time it took as a share of the first time."""
        return self.seconds / self.first_seconds

    def to_json(self) -> dict[str, Any]:
        """The outcome as `selfsteer demo --json` prints it."""
        return {
            "goal": self.goal,
            "accepted": self.accepted,
            "recalled": self.recalled,
            "seconds": self.seconds,
            "first_seconds": self.first_seconds,
            "ratio": self.ratio,
        }


@dataclass(frozen=True)
class DemoResult:
    """All that the demo found.

    Attributes:
        recall: None where no goal was accepted, so that there was nothing to recall.
        seconds: loading the student and the four goals together.
    """

    goals: tuple[GoalOutcome, ...]
    recall: RecallOutcome | None
    seed: int
    seconds: float

    @property
    def run_ids(self) -> list[str]:
        """The runs, in order."""
        return [outcome.run_id for outcome in self.goals] + (
            [] if self.recall is None else [self.recall.run_id]
        )

    def to_json(self, *, passed: bool) -> dict[str, Any]:
        """The object that `selfsteer demo --json` prints."""
        return {
            "goals": [outcome.to_json() for outcome in self.goals],
            "seed": self.seed,
            "recall": {} if self.recall is None else self.recall.to_json(),
            "passed": passed,
        }


def run_demo(load: Callable[[], Student], memory: Memory, name: str, seed: int) -> DemoResult:
    """Run the goals that `seed` draws, then one of the accepted ones again.

    Args:
        load: gives the student; it is part of the time.
        name: of the student, as `Student.load` takes it.
    """
    began = time.monotonic()
    settings = AppSettings()
    inputs = Inputs.store(
        memory,
        student=name,
        device=settings.device,
        dtype=settings.dtype,
        dataset=None,
        capability=None,
        who=Deciders(),
    )
    student = load()
    goals = draw_goals(seed)
    # From nothing each time: the four are measured, not what an earlier demo left in the file.
    orders = [_settings(goal.text, seed, use_memory=False) for goal in goals]
    processes = _processes(len(goals), inputs)
    if processes > 1:
        runs = run_abreast(memory, inputs, orders, SelfController, processes)
        for run in runs:
            _say_ended(run)
    else:
        runs = [_run(student, memory, inputs, settings) for settings in orders]
    outcomes = [outcome_of(memory, *pair) for pair in zip(runs, goals, strict=True)]
    seconds = time.monotonic() - began
    first = next((outcome for outcome in outcomes if outcome.accepted), None)
    recall = None if first is None else _recall(student, memory, inputs, first, seed)
    return DemoResult(tuple(outcomes), recall, seed, seconds)


def _processes(goals: int, inputs: Inputs) -> int:
    """How many goals are run at once: one for each core, and one by one on an accelerator."""
    return min(goals, os.cpu_count() or 1) if inputs.device == "cpu" else 1


def outcome_of(memory: Memory, run: Run, goal: ShowcaseGoal) -> GoalOutcome:
    """Put a finished run before the oracle."""
    verdict: dict[str, Any] = run.verdict or {}
    replies = report_replies(memory, run.id)
    steered = next(
        (c for c in memory.runs.candidates(run.id, "report") if c.arm == "steered"), None
    )
    return GoalOutcome(
        goal=goal.text,
        run_id=run.id,
        base=_expression(goal, replies, "base"),
        prompt_only=_expression(goal, replies, "prompt_only"),
        steered=_expression(goal, replies, "steered"),
        accepted=run.status == "accepted",
        well_formed=_well_formed(goal, replies),
        coherence=None if steered is None else steered.coherence,
        retention=verdict.get("retention"),
        n=0 if replies is None else len(replies.prompts),
        site=verdict.get("site"),
        layer=verdict.get("layer"),
        strength=verdict.get("strength"),
        operator=verdict.get("operator"),
        candidates=len(tried(memory.runs.candidates(run.id, "development"))),
        seconds=run.seconds,
    )


def _expression(goal: ShowcaseGoal, replies: Replies | None, arm: str) -> Rate | None:
    if replies is None:
        return None
    figures = goal.figures(replies.arms[arm])
    return Rate(figures.expressed / figures.n, wilson(figures.expressed, figures.n))


def _well_formed(goal: ShowcaseGoal, replies: Replies | None) -> float | None:
    if replies is None:
        return None
    figures = goal.figures(replies.arms["steered"])
    return figures.well_formed / figures.n


def _recall(
    student: Student, memory: Memory, inputs: Inputs, first: GoalOutcome, seed: int
) -> RecallOutcome:
    """Ask for a goal again, on probes that its first run never saw."""
    run = _run(student, memory, inputs, _settings(first.goal, seed, use_memory=True))
    return RecallOutcome(
        goal=first.goal,
        run_id=run.id,
        accepted=run.status == "accepted",
        recalled=bool((run.verdict or {}).get("recalled")),
        seconds=run.seconds,
        first_seconds=first.seconds,
    )


def _run(student: Student, memory: Memory, inputs: Inputs, settings: RunSettings) -> Run:
    with watch(memory, settings, inputs) as listener:
        run = run_goal(
            student,
            SelfController(student),
            memory,
            settings,
            capability=inputs.capability(memory),
            listener=listener,
        )
    _say_ended(run)
    return run


def _say_ended(run: Run) -> None:
    how = "from memory, " if (run.verdict or {}).get("recalled") else ""
    stderr().print(literal(f"{run.status}: {run.goal} ({how}{run.seconds:.1f} s)"))


def _settings(goal: str, seed: int, *, use_memory: bool) -> RunSettings:
    return RunSettings(goal=Goal(text=goal), seed=seed, use_memory=use_memory)


def _value(rate: Rate | None) -> float | None:
    return None if rate is None else rate.value
