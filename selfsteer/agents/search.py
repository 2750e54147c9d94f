"""The controller without a language model: what any other controller has to beat.

It takes a dataset as it is given (or samples one under the goal's own words, unfiltered), lets
Optuna pick layer, strength and operator, and judges replies with a linear probe fitted on the
dataset.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.agents.judges.probe import Probe, fit_probe, probe_verdicts
from selfsteer.agents.policy import next_action
from selfsteer.agents.search_spaces import search_space
from selfsteer.agents.types import (
    ContrastiveSpec,
    Decision,
    Goal,
    RoundSummary,
    Sample,
    SearchSpace,
    SiteEvidence,
    Verdict,
    more_samples,
)
from selfsteer.errors import ControllerError
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.model import Student

SAMPLES = 128


class SearchController:
    """Implements `Controller` by numerical search.

    Args:
        student: read, unsteered, by the judging probe.
        dataset: pairs to learn from; None samples the student under the goal and without it.
    """

    name = "search"
    model: str | None = None

    def __init__(self, student: Student, dataset: ContrastiveDataset | None = None) -> None:
        self._student = student
        self._dataset = dataset
        self._probe: Probe | None = None

    def propose(self, goal: Goal, history: Sequence[RoundSummary]) -> ContrastiveSpec:
        """The given dataset, or answers under the goal's words against answers without."""
        if self._dataset is not None:
            return ContrastiveSpec(dataset=self._dataset, reason="The dataset was given.")
        return ContrastiveSpec(
            positive=(goal.text,),
            negative=("",),
            samples=more_samples(SAMPLES, len(history)),
            reason="Answers under the goal's own words, against answers without.",
        )

    def confirms_pairs(self) -> bool:
        """There is no judge before there is a dataset."""
        return False

    def learn(self, goal: Goal, dataset: ContrastiveDataset) -> None:
        """Fit the judging probe."""
        self._probe = fit_probe(self._student, dataset)

    def choose(
        self, goal: Goal, evidence: Sequence[SiteEvidence], history: Sequence[RoundSummary]
    ) -> SearchSpace:
        """All layers with evidence, and both operators."""
        return search_space(evidence, history, goal.thresholds, operators=("add", "ablate"))

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        """By the probe.

        Raises:
            ControllerError: called before `learn`.
        """
        if self._probe is None:
            raise ControllerError("The search controller judges only after it was given a dataset.")
        return probe_verdicts(self._student, self._probe, samples)

    def reflect(self, goal: Goal, history: Sequence[RoundSummary]) -> Decision:
        """The same policy as `self`; a given dataset cannot be revised."""
        decision = next_action(goal, history)
        if decision.action == "revise_data" and self._dataset is not None and len(history) > 1:
            return Decision(action="give_up", reason=f"{decision.reason} The data is fixed.")
        return decision
