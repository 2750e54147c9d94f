"""What a user might write: messages sampled from the student in the user's place."""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Message, Prompt

_LONGEST = 48  # tokens
_TEMPERATURE = 0.8


def say(student: Student, plans: Sequence[Plan], *, seed: int = 0) -> list[str]:
    """One message for each plan, as the first of a conversation."""
    prompts = [_opening(student)] * len(plans)
    drawn = generate(
        student, prompts, plans, max_new_tokens=_LONGEST, temperature=_TEMPERATURE, seed=seed
    )
    return [reply.text.strip() for reply in drawn]


def _opening(student: Student) -> Prompt:
    """What the chat template writes before a user's first words."""
    if student.chat is None:
        return Prompt.raw("")
    rendered = student.chat.render([Message(role="user", content="-")])
    opening = rendered.text[: rendered.spans[0].start]
    # The start token comes with raw text where the tokenizer puts it there.
    start = student.tokenizer.bos_token if student.start_ids else ""
    return Prompt.raw(opening.removeprefix(start or ""))
