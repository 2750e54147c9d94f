"""The student as its own controller: it makes its data by instruction and judges by yes or no.

No free text of the model is parsed, so it works with models far too small to write JSON. One that
is large enough also writes instructions, under a grammar, chooses how to go on where the rules
leave that open, and judges by the rubric where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.agents.judges.yes_no import yes_no_verdicts
from selfsteer.agents.own_choice import choose_action
from selfsteer.agents.own_words import write_contrast
from selfsteer.agents.parts import split_of
from selfsteer.agents.policy import next_action, stalled
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
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.model import Student

# Ways to put the goal to the student. Wordings that it does not understand cost only the samples
# that the judge then turns down.
VARIANTS = (
    "{goal}",
    "Please remember: {goal}",
    "{goal} At all times, please.",
    "In this conversation: {goal}",
    "No matter what, {goal}",
)
OPPOSITE = "Do the opposite of this: {goal}"
FIRST_SAMPLES = 384
# Parameters from which a student is asked for more than yes and no; a choice, see decision 10.
LARGE = 300_000_000


class SelfController:
    """Implements `Controller` with the student's own answers.

    Args:
        student: the model that is steered, here unsteered.
        large: number of parameters from which a student counts as large enough.
    """

    name = "self"
    model: str | None = None

    def __init__(self, student: Student, *, large: int = LARGE) -> None:
        self._student = student
        self._large = student.n_parameters >= large

    def propose(self, goal: Goal, history: Sequence[RoundSummary]) -> ContrastiveSpec:
        """Answers under the goal as instruction, against answers without any.

        After a round that failed, twice the samples, as far as the limit allows, and the opposite
        instruction joins the negative side. A large student adds instructions in words of its own
        to both sides.
        """
        sentence = goal.text if goal.text.endswith((".", "!", "?")) else f"{goal.text}."
        positive = tuple(variant.format(goal=sentence) for variant in VARIANTS)
        if not history:
            spec = ContrastiveSpec(
                positive=positive,
                negative=("",),
                samples=FIRST_SAMPLES,
                reason="The student answers under the goal as its instruction, and without one.",
            )
        else:
            spec = ContrastiveSpec(
                positive=positive,
                negative=("", OPPOSITE.format(goal=sentence)),
                samples=more_samples(FIRST_SAMPLES, len(history)),
                reason=(
                    "The last data did not carry the goal: more of it, against the opposite too."
                ),
            )
        return self._in_own_words(spec, goal, history) if self._large else spec

    def _in_own_words(
        self, spec: ContrastiveSpec, goal: Goal, history: Sequence[RoundSummary]
    ) -> ContrastiveSpec:
        """What the student writes, beside the goal's own sentence; else the fixed wordings."""
        written = write_contrast(self._student, goal, history)
        if written.problem:
            told = f"{spec.reason} In fixed wordings, because the student wrote none: "
            return spec.model_copy(update={"reason": f"{told}{written.problem}."})
        own = (spec.positive[0], *written.positive)
        missing = max(0, len(VARIANTS) - len(own))
        update = {
            "positive": (*own, *spec.positive[1 : 1 + missing]),
            "negative": (*spec.negative, *written.negative),
            "reason": f"{spec.reason} Instructions are also in the student's own words.",
        }
        return spec.model_copy(update=update)

    def confirms_pairs(self) -> bool:
        """Only what the student's own judgement confirms is learned from."""
        return True

    def learn(self, goal: Goal, dataset: ContrastiveDataset) -> None:
        """The student's judgement needs no examples."""

    def choose(
        self, goal: Goal, evidence: Sequence[SiteEvidence], history: Sequence[RoundSummary]
    ) -> SearchSpace:
        """Every layer that tells the two sides apart on held-out pairs."""
        return search_space(evidence, history, goal.thresholds)

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        """By the student's log-probability of yes against no."""
        return yes_no_verdicts(self._student, goal, samples, by_rubric=self._large)

    def reflect(self, goal: Goal, history: Sequence[RoundSummary]) -> Decision:
        """Confirm what meets the thresholds on development probes, else revise, else give up.

        Once a round brings nothing, a goal that the student finds to be several is split, once.
        Where the rules would revise the data, a large student may go on with the same vectors
        instead.
        """
        decision = next_action(goal, history)
        if decision.action == "confirm":
            return decision
        stuck = decision.action == "give_up" or stalled(history, goal.thresholds)
        whole = not any(row.parts for row in history)
        if stuck and whole and (parts := split_of(self._student, goal, history[-1])):
            why = f"{decision.reason} Replies that miss the goal do one part of it."
            return Decision(action="split", parts=parts, reason=why)
        if self._large:
            decision = choose_action(self._student, goal, decision, history)
        return decision
