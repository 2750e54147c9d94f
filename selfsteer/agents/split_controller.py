"""Roles split among controllers: one proposes, another judges, a third chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from selfsteer.agents.controller import Controller
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

ControllerRole = Literal["propose", "choose", "judge", "reflect"]
ROLES: tuple[ControllerRole, ...] = get_args(ControllerRole)


class SplitController:
    """Implements `Controller` by handing each decision to the controller of that role.

    Args:
        main: has the roles that `roles` does not name.
        roles: who has the others.
    """

    def __init__(self, main: Controller, roles: Mapping[ControllerRole, Controller]) -> None:
        self._of = {role: roles.get(role, main) for role in ROLES}
        others = [f"{role}={self._of[role].name}" for role in ROLES if role in roles]
        self.name = ", ".join([main.name, *others])
        models = dict.fromkeys(self._of[role].model for role in ROLES)
        self.model = ", ".join(model for model in models if model) or None

    def propose(self, goal: Goal, history: Sequence[RoundSummary]) -> ContrastiveSpec:
        """By the proposer."""
        return self._of["propose"].propose(goal, history)

    def confirms_pairs(self) -> bool:
        """As the judge has it: it is the one who confirms."""
        return self._of["judge"].confirms_pairs()

    def learn(self, goal: Goal, dataset: ContrastiveDataset) -> None:
        """The judge learns."""
        self._of["judge"].learn(goal, dataset)

    def choose(
        self, goal: Goal, evidence: Sequence[SiteEvidence], history: Sequence[RoundSummary]
    ) -> SearchSpace:
        """By the chooser."""
        return self._of["choose"].choose(goal, evidence, history)

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        """By the judge."""
        return self._of["judge"].judge(goal, samples)

    def reflect(self, goal: Goal, history: Sequence[RoundSummary]) -> Decision:
        """By the one who reflects."""
        return self._of["reflect"].reflect(goal, history)
