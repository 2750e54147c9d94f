"""Judging by the probability of "yes" against "no", which a small model can do without JSON.

The student may say a few words before its verdict ("asked this, is that, so ..."): what it says
first is its likeliest continuation, and the two answers are weighed behind it. A model that answers
at once is weighed at once.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import torch

from selfsteer.agents.types import Goal, Sample, Verdict
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.scoring import option_logprobs

QUESTION = "Text: {reply}\nRequest: {goal}\nDoes it fit?"
REASON_TOKENS = 24
_ANSWER = re.compile(r"\b(?:yes|no)\b", re.IGNORECASE)


def yes_no_verdicts(student: Student, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
    """P(yes) / (P(yes) + P(no)) of the unsteered student for every reply.

    Identical replies are asked about once. An empty reply fits no request.

    Args:
        student: the model that judges; its hooks are off.
        goal: what was asked for.
        samples: the replies.
    """
    replies = sorted({sample.reply for sample in samples if sample.reply.strip()})
    prompts = [Prompt.chat(QUESTION.format(reply=reply, goal=goal.text)) for reply in replies]
    reasons = generate(student, prompts, max_new_tokens=REASON_TOKENS, temperature=0)
    by_reason: dict[str, list[int]] = defaultdict(list)
    for index, reason in enumerate(reasons):
        by_reason[before_answer(reason.text)].append(index)
    scores: dict[str, float] = {}
    for reason_text, indices in by_reason.items():
        found = _weigh(student, [prompts[i] for i in indices], reason_text)
        scores |= dict(zip((replies[i] for i in indices), found, strict=True))
    return [Verdict(score=scores.get(sample.reply, 0.0)) for sample in samples]


def before_answer(reason: str) -> str:
    """What is said before the first "yes" or "no"; nothing where neither is said."""
    answer = _ANSWER.search(reason)
    return reason[: answer.start()].rstrip() if answer else ""


def _weigh(student: Student, prompts: Sequence[Prompt], reason: str) -> list[float]:
    """P(yes) after the same words for every prompt, over both spellings of each answer."""
    lead = f"{reason} " if reason else ""
    options = [f"{lead}{answer}" for answer in ("yes", "Yes", "no", "No")]
    logprobs = option_logprobs(student, prompts, options).double()
    yes, no = logprobs[:, :2].logsumexp(dim=1), logprobs[:, 2:].logsumexp(dim=1)
    return [float(p) for p in torch.sigmoid(yes - no)]
