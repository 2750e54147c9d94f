"""What the demo may know of Pocket's world: goals in wordings that were held out, and a scorer.

The scorer is the oracle behind a closed door: it takes replies and gives figures for the report,
and nothing that decides may hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from selfsteer.pocket import oracle, wordings
from selfsteer.pocket.lexicon import FAMILIES

DEMO_FAMILIES = ("mood", "register", "topic", "language")


@dataclass(frozen=True)
class OracleFigures:
    """What is true of some replies.

    Attributes:
        expressed: how many express what was asked.
        well_formed: how many parse as a whole.
        n: how many there are.
    """

    expressed: int
    well_formed: int
    n: int


@dataclass(frozen=True)
class ShowcaseGoal:
    """A goal, and what it means to the oracle.

    Attributes:
        text: what is asked for, as a person would.
        asked: attribute values by family.
    """

    text: str
    asked: tuple[tuple[str, str], ...]

    def figures(self, replies: Sequence[str]) -> OracleFigures:
        """Score replies."""
        asked = dict(self.asked)
        return OracleFigures(
            expressed=sum(oracle.expresses(reply, **asked) for reply in replies),
            well_formed=sum(map(oracle.well_formed, replies)),
            n=len(replies),
        )


def draw_goals(seed: int) -> list[ShowcaseGoal]:
    """A mood, a register, a topic and a language, each in a wording that was held out."""
    rng = Random(f"showcase-{seed}")
    return [draw_goal(rng, {family: rng.choice(FAMILIES[family])}) for family in DEMO_FAMILIES]


def draw_goal(rng: Random, asked: dict[str, str]) -> ShowcaseGoal:
    """A goal over some attribute values, in held-out wordings."""
    text = " and ".join(
        wordings.instruction(rng, family, value, "held_out") for family, value in asked.items()
    )
    return ShowcaseGoal(text[0].upper() + text[1:] + ".", tuple(asked.items()))
