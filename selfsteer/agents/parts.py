"""A goal that is two: how its sentence can be divided, and whether the student finds that it is so.

Both are decided by log-probability, so that a model too small to write an answer can decide them.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.agents.judges.yes_no import yes_no_verdicts
from selfsteer.agents.types import Goal, RoundSummary
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs

Parts = tuple[str, str]

AND = "and"
NAME_ONE = "{goal}\n\nName one thing that this asks for."
LEAST_ONE_SIDED = 0.5  # share of the failures that do a part


def split_of(student: Student, goal: Goal, last: RoundSummary) -> Parts | None:
    """The parts of a goal, where the replies that miss it mostly do one of them.

    Args:
        student: asked about every failure of the round whether it does a part.
        last: the round that failed.
    """
    readings = divisions(goal.text)
    missed = [failure for failure in (*last.failures, *last.turned_down) if failure.score < 0.5]
    if not readings or not missed:
        return None
    parts = _likeliest(student, goal, readings)
    scores = [yes_no_verdicts(student, Goal(text=part), missed) for part in parts]
    one_sided = sum(max(a.score, b.score) >= 0.5 for a, b in zip(*scores, strict=True))
    return parts if one_sided >= LEAST_ONE_SIDED * len(missed) else None


def divisions(text: str) -> list[Parts]:
    """The ways to read a sentence as two, at each "and" in it.

    "Be gloomy and formal to me" may be "Be gloomy" and "formal to me", or one word may stand for
    the other: "Be gloomy to me" and "Be formal to me", or "Be gloomy" and "Be formal to me".
    """
    words = text.rstrip(" .!?").split()
    found: list[Parts] = []
    for place, word in enumerate(words):
        before, after = words[:place], words[place + 1 :]
        if word.lower() != AND or len(before) < 2 or not after:
            continue
        head, rest = before[:-1], after[1:]
        if len(after) > 1:
            found.append((" ".join(before), " ".join(after)))
            found.append((" ".join(before + rest), " ".join(head + after)))
        found.append((" ".join(before), " ".join(head + after)))
    # "more and more" is one thing, said twice.
    return [(one, other) for one, other in found if one.lower() != other.lower()]


def _likeliest(student: Student, goal: Goal, readings: Sequence[Parts]) -> Parts:
    """The reading whose parts the student is the least surprised by, a token."""
    asked = Prompt.chat(NAME_ONE.format(goal=goal.text))
    parts = [Example(prompt=asked, completion=part) for pair in readings for part in pair]
    means = [float(found.mean()) for found in completion_logprobs(student, parts)]
    sums = [a + b for a, b in zip(means[::2], means[1::2], strict=True)]
    return readings[max(range(len(readings)), key=sums.__getitem__)]
