"""Does Pocket's yes or no agree with the oracle, on clean replies and on steered ones?"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import torch

from benchmarks.bars import Bar
from benchmarks.card.replies import (
    DRAW,
    MAX_NEW_TOKENS,
    TEMPERATURE,
    named,
    prompts,
    replies,
)
from benchmarks.card.steerability import Best
from selfsteer.agents.judges.yes_no import yes_no_verdicts
from selfsteer.agents.types import Goal, Sample
from selfsteer.pocket import oracle
from selfsteer.pocket.wordings import instruction
from selfsteer.steering.generate import generate
from selfsteer.steering.metrics.auroc import auroc
from selfsteer.steering.model import Student

SAMPLES = 60
DOSES = (0.5, 1.0, 2.0)  # of the best strength: weak, right, overdose


class Skill(NamedTuple):
    """AUROC of the judge for one value, on clean replies and on steered ones."""

    value: str
    clean: float
    steered: float


def judge_skill(student: Student, best: Best, draw: int = 0) -> Skill:
    """How well the judge tells replies that express a value from those that do not."""
    asked = {best.family: best.value}
    rng = named(f"judge-{best.value}", draw)
    free = replies(student, prompts(rng, 2 * SAMPLES), seed=21 + DRAW * draw)
    told = replies(student, prompts(rng, SAMPLES, asked), seed=22 + DRAW * draw)
    clean = area(student, rng, asked, free + told)
    dosed = steered_replies(student, best, rng, seed=23 + DRAW * draw)
    return Skill(best.value, clean, area(student, rng, asked, free[:SAMPLES] + dosed))


def judge_bars(skills: Sequence[Skill]) -> list[Bar]:
    """The worst value is the figure."""
    clean = {skill.value: skill.clean for skill in skills}
    steered = {skill.value: skill.steered for skill in skills}
    return [
        Bar("judge AUROC, clean, worst value", min(clean.values()), 0.90, note=_worst(clean)),
        Bar("judge AUROC, steered, worst value", min(steered.values()), 0.90, note=_worst(steered)),
    ]


def steered_replies(student: Student, best: Best, rng: Random, seed: int = 23) -> list[str]:
    """Replies at three strengths, overdose included."""
    plans = [best.point.plan(best.vector, dose) for dose in DOSES for _ in range(SAMPLES)]
    found = generate(
        student,
        prompts(rng, len(plans)),
        plans,
        temperature=TEMPERATURE,
        max_new_tokens=MAX_NEW_TOKENS,
        seed=seed,
    )
    return [reply.text for reply in found]


def area(student: Student, rng: Random, asked: dict[str, str], texts: list[str]) -> float:
    """AUROC of P(yes) for one held-out wording of the request, against the oracle."""
    ((family, value),) = asked.items()
    goal = Goal(text=instruction(rng, family, value, "held_out"))
    verdicts = yes_no_verdicts(student, goal, [Sample(prompt="", reply=text) for text in texts])
    truth = torch.tensor([oracle.expresses(text, **asked) for text in texts])
    scores = torch.tensor([verdict.score for verdict in verdicts])
    return float(auroc(scores[truth], scores[~truth]))


def _worst(areas: dict[str, float]) -> str:
    value = min(areas, key=areas.__getitem__)
    return f"{value}; mean {sum(areas.values()) / len(areas):.3f}"
