"""How closely each stage of a search looks: first at many candidates, at last at a few."""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.agents.context import Context
from selfsteer.steering.prompts import Prompt

# What ends a round: the best candidates, and doses between theirs where none will do.
LAST_LOOKS = ("finalists", "polish")


def stage_probes(stage: str, context: Context) -> Sequence[Prompt]:
    """The development probes that a stage asks: a part of them in the search, then all."""
    probes = context.probes.development
    return probes[: context.settings.effort.development_prompts] if stage == "search" else probes


def stage_samples(stage: str, context: Context) -> int:
    """Replies to each probe of a stage."""
    return context.settings.effort.finalist_samples if stage in LAST_LOOKS else 1
