"""The protocol of a controller: the four decisions that the loop leaves to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from selfsteer.agents.types import (
    ContrastiveSpec,
    Decision,
    Goal,
    RoundSummary,
    Sample,
    SearchSpace,
    SiteEvidence,
    Verdict,
)
from selfsteer.steering.datasets import ContrastiveDataset


class Controller(Protocol):
    """Proposes data, chooses where to search, judges replies, and decides what comes next.

    Every method may be called again after a crash; a controller that pays for its answers replays
    them from the ledger. Nothing here touches a tensor.
    """

    name: str
    model: str | None
    """The paid model that is asked, as it names itself; None where nothing is paid."""

    def propose(self, goal: Goal, history: Sequence[RoundSummary]) -> ContrastiveSpec:
        """How to make the contrast of this round."""

    def confirms_pairs(self) -> bool:
        """Whether sampled completions are kept only where `judge` confirms them."""

    def learn(self, goal: Goal, dataset: ContrastiveDataset) -> None:
        """Take in the round's pairs before judging; controllers that need none do nothing."""

    def choose(
        self, goal: Goal, evidence: Sequence[SiteEvidence], history: Sequence[RoundSummary]
    ) -> SearchSpace:
        """Where to look for a candidate, from the evidence per layer."""

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        """For each reply, the probability that it does what the goal asks."""

    def reflect(self, goal: Goal, history: Sequence[RoundSummary]) -> Decision:
        """What to do after a round; the last summary is this round's."""
