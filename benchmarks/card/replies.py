"""Replies of Pocket under held-out instructions, or none."""

from __future__ import annotations

from random import Random

from selfsteer.pocket.lexicon import FAMILIES
from selfsteer.pocket.prompts import open_prompt
from selfsteer.pocket.wordings import Split, instructions
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt

TEMPERATURE = 0.8
MAX_NEW_TOKENS = 96
DRAW = 1_000_000  # between the seeds of one card and of another
VALUES: tuple[tuple[str, str], ...] = tuple(
    (family, value) for family, values in FAMILIES.items() for value in values
)


def named(name: str, draw: int) -> Random:
    """Random choices for one purpose: those of the card for draw 0, others for every other draw."""
    return Random(f"card-{name}-draw-{draw}" if draw else f"card-{name}")


def prompts(
    rng: Random, count: int, asked: dict[str, str] | None = None, split: Split = "held_out"
) -> list[Prompt]:
    """Open prompts of a split, each under an instruction of its own where values are asked."""
    return [
        Prompt.chat(
            open_prompt(rng, split), system=instructions(rng, asked, split) if asked else None
        )
        for _ in range(count)
    ]


def replies(student: Student, asked_prompts: list[Prompt], seed: int) -> list[str]:
    """One sampled reply to each prompt."""
    found = generate(
        student, asked_prompts, temperature=TEMPERATURE, max_new_tokens=MAX_NEW_TOKENS, seed=seed
    )
    return [reply.text for reply in found]
