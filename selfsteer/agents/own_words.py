"""A contrast in a student's own words, for students large enough to write JSON under a grammar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field, ValidationError

from selfsteer.agents.probes import plain
from selfsteer.agents.prompts import fence, load_prompt
from selfsteer.agents.student_text import on_one_line
from selfsteer.agents.types import Goal, Record, RoundSummary
from selfsteer.errors import GrammarError, StudentError
from selfsteer.steering.generate import generate
from selfsteer.steering.grammar import Grammar
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt

LONGEST = 240  # characters of an instruction
LEAST_WRITTEN = 3  # different instructions for the goal, below which a student cannot write them
MOST_TOKENS = 1_024
TEMPERATURE = 0.7  # at 0 a small model writes one instruction several times

Line = Annotated[str, Field(min_length=1, max_length=LONGEST)]


class Contrast(Record):
    """What the grammar lets a student write."""

    positive: tuple[Line, ...] = Field(min_length=5, max_length=8)
    negative: tuple[Line, ...] = Field(min_length=1, max_length=3)


class Written(Record):
    """Instructions that can be used.

    Attributes:
        positive: those for the goal; empty where they could not be used.
        negative: those of the other side.
        problem: why nothing of it can be used, as the rest of a sentence; empty where it can.
    """

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    problem: str = ""


def write_contrast(student: Student, goal: Goal, history: Sequence[RoundSummary]) -> Written:
    """Ask a student for instructions for both sides of a contrast.

    The same student gives the same answer in the same round, so that a run that was killed goes on
    as it was.

    Args:
        history: rounds that failed; their instructions are shown, and others asked for.
    """
    system, task = load_prompt("write").fill(goal=goal.text, tried=_tried(history))
    try:
        (said,) = generate(
            student,
            [Prompt.chat(task, system=system)],
            max_new_tokens=MOST_TOKENS,
            temperature=TEMPERATURE,
            seed=len(history),
            grammar=Grammar.json(Contrast.model_json_schema()),
        )
        found = Contrast.model_validate_json(said.text)
    except (GrammarError, StudentError) as error:
        return Written(problem=str(error).rstrip("."))
    except ValidationError:
        return Written(problem="what it wrote was cut off")
    return _usable(student, goal, found)


def _tried(history: Sequence[RoundSummary]) -> str:
    texts = dict.fromkeys(text for row in history for text in row.positive)
    if not texts:
        return ""
    return "These did not work; write others:\n" + fence("instructions", "\n".join(texts))


def _usable(student: Student, goal: Goal, found: Contrast) -> Written:
    """What is left without repetitions, empty lines, and the same words on both sides."""
    positive = _different(student, found.positive, [goal.text])
    if len(positive) < LEAST_WRITTEN:
        told = f"only {len(positive)} of {len(found.positive)} sentences were different and new"
        return Written(problem=told)
    negative = _different(student, found.negative, [goal.text, *positive])
    return Written(positive=tuple(positive), negative=tuple(negative))


def _different(student: Student, texts: Iterable[str], known: Iterable[str]) -> list[str]:
    seen = {plain(text) for text in known}
    kept: list[str] = []
    for text in texts:
        line = " ".join(on_one_line(student, text).split())
        words = plain(line)
        if words and words not in seen and len(line) <= LONGEST:
            seen.add(words)
            kept.append(line)
    return kept
