"""A chatty tiny student, a controller that follows a script, and settings for short runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from selfsteer.agents.controller import Controller
from selfsteer.agents.loop import run_goal
from selfsteer.agents.policy import next_action
from selfsteer.agents.probes import ProbeSplits, deal_probes
from selfsteer.agents.settings import Effort, RunSettings
from selfsteer.agents.sites import SITES
from selfsteer.agents.types import (
    ContrastiveSpec,
    Decision,
    Goal,
    RoundSummary,
    Sample,
    SearchSpace,
    SiteEvidence,
    Thresholds,
    Verdict,
)
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.generate import end_ids
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt
from tests.steering.students import build_student

GOAL = "use the first half of the alphabet"
PARTS = ("use the letters a to g", "use the letters h to m")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
FIRST_HALF = set(LETTERS[:13])
EASY = Thresholds(steerability=0.05, coherence=10, broken=1, retention=0)
IMPOSSIBLE = Thresholds(steerability=1, coherence=1, broken=0, retention=1)
EFFORT = Effort(
    development_prompts=3,
    trials_per_batch=3,
    refined=2,
    finalists=2,
    finalist_samples=1,
    confirmation_samples=2,
    report_samples=8,
    refined_capability=2,
    polished=0,
    rechecked=0,
)


def build_talker(bias: float = 12.0, **config: Any) -> Student:
    """A random student that writes a few letters and stops: an output bias sees to that."""
    student = build_student("llama", **config)
    model: Any = student.model
    head = nn.Linear(student.d_model, model.config.vocab_size, bias=True)
    with torch.no_grad():
        head.weight.copy_(0.3 * model.lm_head.weight)  # so that no prompt decides a reply
        head.bias.zero_()
        head.bias[student.tokenizer.convert_tokens_to_ids(list(LETTERS))] = bias
        # Rare enough that no set of replies is empty throughout, whatever a machine's rounding.
        head.bias[sorted(end_ids(student))] = bias
    model.lm_head = head.requires_grad_(False)
    return Student.wrap(model, student.tokenizer, "talker")


def first_half(reply: str) -> float:
    """The share of a reply's letters that come from the first half of the alphabet."""
    return sum(letter in FIRST_HALF for letter in reply) / len(reply) if reply else 0.0


class Scripted:
    """Implements `Controller` without a model: it judges letters and decides as it is told.

    Args:
        decide: takes the history; the policy of the package where None.
        score: what a sample is worth.
        trials: candidates of each round.
    """

    name = "scripted"
    model: str | None = None

    def __init__(
        self,
        decide: Callable[[Sequence[RoundSummary]], Decision] | None = None,
        *,
        score: Callable[[Sample], float] = lambda sample: first_half(sample.reply),
        trials: int = 10,
        samples: int = 64,
    ) -> None:
        self._decide, self._score = decide, score
        self._trials, self._samples = trials, samples

    def propose(self, goal: Goal, history: Sequence[RoundSummary]) -> ContrastiveSpec:
        return ContrastiveSpec(positive=(goal.text,), samples=self._samples, reason="scripted")

    def confirms_pairs(self) -> bool:
        return True

    def learn(self, goal: Goal, dataset: ContrastiveDataset) -> None:
        pass

    def choose(
        self, goal: Goal, evidence: Sequence[SiteEvidence], history: Sequence[RoundSummary]
    ) -> SearchSpace:
        known = {row.site for row in evidence}
        sites = tuple(site for site in SITES if site in known)
        return SearchSpace(sites=sites, layers=(0, 2), low=0.02, high=0.2, trials=self._trials)

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        return [Verdict(score=self._score(sample)) for sample in samples]

    def reflect(self, goal: Goal, history: Sequence[RoundSummary]) -> Decision:
        return self._decide(history) if self._decide else next_action(goal, history)


def confirm_best(history: Sequence[RoundSummary]) -> Decision:
    """Decide for the best of the last round."""
    best = history[-1].best
    assert best is not None
    return Decision(action="confirm", candidate=best.spec(), reason="the best there is")


def split_then_confirm(history: Sequence[RoundSummary]) -> Decision:
    """Splits the goal after its first round, and then takes the best there is."""
    if len(history) == 1:
        return Decision(action="split", parts=PARTS, reason="two things")
    best = history[-1].best
    if best is None:
        return Decision(action="give_up", reason="no pairs")
    return Decision(action="confirm", candidate=best.spec(), reason="the best there is")


def deal_few(seed: int) -> ProbeSplits:
    """The splits of the package, cut short."""
    dealt = deal_probes(seed)
    return ProbeSplits(**{name: getattr(dealt, name)[:4] for name in ProbeSplits.model_fields})


def settings(**changes: Any) -> RunSettings:
    """Settings of a run of about a second."""
    goal = Goal(text=changes.pop("goal", GOAL), thresholds=changes.pop("thresholds", EASY))
    return RunSettings(
        **({"goal": goal, "effort": EFFORT, "seed": 3, "max_new_tokens": 12} | changes)
    )


def record(memory: Memory, run_id: str) -> dict[str, list[Any]]:
    """All that a run left behind, without the times and the run's own id."""
    volatile = {"run_id", "created"}
    return {
        "candidates": [c.model_dump(exclude=volatile) for c in memory.runs.candidates(run_id)],
        "rounds": [r.model_dump(exclude=volatile) for r in memory.runs.rounds(run_id)],
        "events": [event.key for event in memory.runs.events(run_id)],
    }


def kinds(memory: Memory, run: Run) -> list[str]:
    """The events of a run."""
    return [event.kind for event in memory.runs.events(run.id)]


def questions(memory: Memory, generations_id: str | None) -> set[str]:
    """What the student was asked for these replies."""
    assert generations_id is not None
    rows = memory.get_generations(generations_id)
    return texts(Prompt.model_validate(row["prompt"]) for row in rows)


def texts(prompts: Iterable[Prompt]) -> set[str]:
    """The last message of each prompt."""
    return {prompt.messages[-1].content for prompt in prompts}


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.payloads: dict[str, Mapping[str, Any]] = {}

    def __call__(self, kind: str, payload: Mapping[str, Any]) -> None:
        self.kinds.append(kind)
        self.payloads[kind] = payload


def stopped_at(
    kind: str,
    student: Student,
    memory: Memory,
    controller: Controller | None = None,
    **changes: Any,
) -> Run:
    """The only run of a memory: begun, and stopped by Ctrl-C when it tells of an event."""

    def listen(told: str, payload: object) -> None:
        if told == kind:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_goal(student, controller or Scripted(), memory, settings(**changes), listener=listen)
    [run] = memory.runs.all()
    return run
