"""How closely each stage of a search looks: first at many candidates, at last at a few."""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.agents.context import Context
from selfsteer.agents.policy import SAFE, chance, promising
from selfsteer.agents.types import CandidateResult
from selfsteer.steering.prompts import Prompt

# What ends a round: the best candidates; doses between theirs where none will do; and the best once
# more where they will do by little.
LAST_LOOKS = ("finalists", "polish", "recheck")


def stage_probes(stage: str, context: Context) -> Sequence[Prompt]:
    """The development probes that a stage asks: a part of them in the search, then all."""
    probes = context.probes.development
    return probes[: context.settings.effort.development_prompts] if stage == "search" else probes


def stage_samples(stage: str, context: Context) -> int:
    """Replies to each probe of a stage."""
    return context.settings.effort.finalist_samples if stage in LAST_LOOKS else 1


def confirming(context: Context) -> int:
    """Replies of the look that accepts or refuses."""
    return len(context.probes.confirmation) * context.settings.effort.confirmation_samples


def last_look_after(stage: str, best: CandidateResult, context: Context) -> str | None:
    """Which of the last looks follows one, given the best of them so far; None where none does."""
    effort, thresholds = context.settings.effort, context.goal.thresholds
    if not promising(best, thresholds):
        return "polish" if stage == "finalists" and effort.polished else None
    safe = chance(best, thresholds, confirming(context)) >= SAFE
    return "recheck" if stage != "recheck" and effort.rechecked and not safe else None
