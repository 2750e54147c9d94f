"""How a student makes its call: by weighing every possible one, or by writing one under a grammar.

Both give the text of a call, to be read and checked like any text of a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from selfsteer.agents.steer_tool import Steerable, call_schema, call_text, possible_calls
from selfsteer.agents.types import Record
from selfsteer.agents.weighing import weigh
from selfsteer.steering.generate import generate
from selfsteer.steering.grammar import Grammar
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt

LEVELS = 3  # strengths of each vector that are weighed


class Weighed(Record):
    """A call that was weighed, and what it came to; None where that is no finite number."""

    call: str
    score: float | None


@dataclass(frozen=True)
class Choice:
    """The text of a call, and what each possible one came to where all were weighed."""

    text: str
    scores: tuple[Weighed, ...] = ()


class Chooser(Protocol):
    """Lets a student, unsteered, make one call."""

    def choose(
        self,
        student: Student,
        prompt: Prompt,
        allowed: Mapping[str, Steerable],
        active: Sequence[str],
    ) -> Choice:
        """The student's call.

        Args:
            prompt: the conversation so far, under a system message that explains the tool.
            allowed: the vectors that may be steered with.
            active: the names of those that steer now.
        """
        ...


class OptionChooser:
    """Takes the call that the conversation makes likelier than it was; for any student."""

    def choose(
        self,
        student: Student,
        prompt: Prompt,
        allowed: Mapping[str, Steerable],
        active: Sequence[str],
    ) -> Choice:
        """The call with the best score; of equal ones the first, which is to leave all as it is."""
        options = [call_text(call) for call in possible_calls(allowed, active, LEVELS)]
        scores = weigh(student, prompt, options)
        best = max(range(len(options)), key=scores.__getitem__)
        weighed = (
            Weighed(call=option, score=score if math.isfinite(score) else None)
            for option, score in zip(options, scores, strict=True)
        )
        return Choice(options[best], tuple(weighed))


class GrammarChooser:
    """Takes what the student writes under a grammar that lets it write calls only.

    For students large enough to know what they write; needs the extra `grammar`. The likeliest
    token is taken each time.
    """

    def choose(
        self,
        student: Student,
        prompt: Prompt,
        allowed: Mapping[str, Steerable],
        active: Sequence[str],
    ) -> Choice:
        """What was written; a student whose context ends in mid-call leaves a torn one."""
        (said,) = generate(
            student,
            [prompt],
            max_new_tokens=longest_call(allowed, active),
            temperature=0,
            grammar=Grammar.json(call_schema(allowed, active)),
        )
        return Choice(said.text)


def longest_call(allowed: Mapping[str, Steerable], active: Sequence[str]) -> int:
    """Tokens that suffice for any call, as no token is less than a byte.

    A strength between those of the options may be written with a few digits more.
    """
    calls = possible_calls(allowed, active, LEVELS)
    return max(len(call_text(call).encode()) for call in calls) + 8
