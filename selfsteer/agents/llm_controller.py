"""A large model as the controller: each decision is one typed, paid and recorded answer."""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.agents.answers import (
    FEWEST_TRIALS,
    MOST_TRIALS,
    Choice,
    Judgement,
    Proposal,
    Reflection,
    Revision,
)
from selfsteer.agents.asking import Calls, Declined, ask_typed, first_ask
from selfsteer.agents.briefing import (
    describe_evidence,
    describe_history,
    describe_samples,
    describe_sites,
    describe_thresholds,
)
from selfsteer.agents.prompts import fence, load_prompt
from selfsteer.agents.types import (
    TRIALS,
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
from selfsteer.steering.extraction.registry import methods

SAMPLES = 256
JUDGED_AT_ONCE = 16
LONGEST = 16_384  # tokens of a proposal
OPERATORS = ("add", "ablate")


class LlmController:
    """Implements `Controller` with a chat model.

    Args:
        name: what the run calls it.
        calls: where its answers come from, are paid and recorded.
    """

    def __init__(self, name: str, calls: Calls) -> None:
        self.name = name
        self.model: str | None = calls.model
        self._calls = calls

    def propose(self, goal: Goal, history: Sequence[RoundSummary]) -> ContrastiveSpec:
        """Instructions for both sides and a rubric; in the first round questions as well."""
        answer = self._revision(goal, history) if history else self._proposal(goal)
        return ContrastiveSpec(
            positive=answer.positive,
            negative=answer.negative,
            questions=answer.questions if isinstance(answer, Proposal) else (),
            rubric=goal.rubric or answer.rubric,
            samples=more_samples(SAMPLES, len(history)),
            reason=answer.reason,
        )

    def _proposal(self, goal: Goal) -> Proposal:
        told = fence("goal", goal.text)
        return ask_typed(
            self._calls, "propose-0", "propose", Proposal, {"goal": told}, max_tokens=LONGEST
        )

    def _revision(self, goal: Goal, history: Sequence[RoundSummary]) -> Revision:
        return ask_typed(
            self._calls,
            f"propose-{len(history)}",
            "revise",
            Revision,
            {"goal": fence("goal", goal.text), "history": describe_history(history)},
            max_tokens=LONGEST,
        )

    def confirms_pairs(self) -> bool:
        """Samples that the judge does not confirm are not learned from."""
        return True

    def learn(self, goal: Goal, dataset: ContrastiveDataset) -> None:
        """A large model judges by the rubric, not by examples."""

    def choose(
        self, goal: Goal, evidence: Sequence[SiteEvidence], history: Sequence[RoundSummary]
    ) -> SearchSpace:
        """Sites, layers, operators and strengths, from those that there are vectors for."""
        sites = list(dict.fromkeys(row.site for row in evidence))
        layers = {row.layer for row in evidence}

        def check(answer: Choice) -> None:
            for word, asked, known in (
                ("site", answer.sites, sites),
                ("layer", answer.layers, sorted(layers)),
                ("operator", answer.operators, OPERATORS),
            ):
                strange = [value for value in asked if value not in known]
                if strange:
                    told = ", ".join(map(str, known))
                    raise ValueError(f"there is no {word} {strange[0]}; there are {told}")
            if answer.low > answer.high:
                raise ValueError(f"low ({answer.low:g}) is above high ({answer.high:g})")

        answer = ask_typed(
            self._calls,
            f"choose-{len(history)}",
            "choose",
            Choice,
            {
                "goal": fence("goal", goal.text),
                "sites": describe_sites(sites),
                "operators": ", ".join(OPERATORS),
                "trials": f"{FEWEST_TRIALS} to {MOST_TRIALS}, {TRIALS} where you do not say",
                "evidence": describe_evidence(evidence),
                "history": describe_history(history),
            },
            check,
        )
        return SearchSpace(
            sites=tuple(dict.fromkeys(answer.sites)),
            layers=tuple(sorted(set(answer.layers))),
            operators=tuple(dict.fromkeys(answer.operators)),
            low=answer.low,
            high=answer.high,
            trials=answer.trials,
            reason=answer.reason,
        )

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        """By the rubric, several replies to a call; equal ones are judged once.

        An empty reply fits no goal. A reply that the model refuses to judge counts as not fitting.
        """
        asked = [s for s in dict.fromkeys(samples) if s.reply.strip()]
        parts = [asked[i : i + JUDGED_AT_ONCE] for i in range(0, len(asked), JUDGED_AT_ONCE)]
        asks = (first_ask("judge", Judgement, _judged(goal, part)) for part in parts)
        self._calls.prefetch("judge", load_prompt("judge").version, asks)
        scores: dict[Sample, float] = {}
        for part in parts:
            scores.update(zip(part, self._scores(goal, part), strict=True))
        return [Verdict(score=scores.get(sample, 0.0)) for sample in samples]

    def _scores(self, goal: Goal, samples: Sequence[Sample]) -> list[float]:
        """Scores of one call's replies; where it is declined, of each half by itself."""
        wanted = list(range(1, len(samples) + 1))

        def check(answer: Judgement) -> None:
            if [verdict.number for verdict in answer.verdicts] != wanted:
                raise ValueError(f"give one verdict for each reply, numbered 1 to {len(samples)}")

        try:
            fields = _judged(goal, samples)
            answer = ask_typed(self._calls, "judge", "judge", Judgement, fields, check)
        except Declined:
            if len(samples) == 1:
                return [0.0]
            half = len(samples) // 2
            return self._scores(goal, samples[:half]) + self._scores(goal, samples[half:])
        return [verdict.score / 100 for verdict in answer.verdicts]

    def reflect(self, goal: Goal, history: Sequence[RoundSummary]) -> Decision:
        """What to do after a round; what is confirmed is the round's best candidate."""
        last = history[-1]

        def check(answer: Reflection) -> None:
            if answer.action == "confirm" and last.best is None:
                raise ValueError("there is no candidate to confirm; revise the data or give up")
            if answer.action in ("narrow", "widen", "other_method") and last.space is None:
                raise ValueError("nothing was searched; revise the data or give up")
            if answer.action == "other_method" and answer.method not in methods():
                raise ValueError(f"name a method; there are {', '.join(methods())}")
            if answer.action == "split" and any(row.parts for row in history):
                raise ValueError("the goal was split before; revise the data or give up")
            if answer.action == "split" and len(set(answer.parts)) < max(2, len(answer.parts)):
                raise ValueError("name two parts or more, no two of them the same")

        answer = ask_typed(
            self._calls,
            f"reflect-{last.number}",
            "reflect",
            Reflection,
            {
                "goal": fence("goal", goal.text),
                "thresholds": describe_thresholds(goal.thresholds),
                "methods": ", ".join(methods()),
                "history": describe_history(history),
            },
            check,
        )
        candidate = last.best.spec() if answer.action == "confirm" and last.best else None
        return Decision(
            action=answer.action,
            candidate=candidate,
            method=answer.method if answer.action == "other_method" else None,
            parts=answer.parts if answer.action == "split" else (),
            reason=answer.reason,
        )


def _judged(goal: Goal, samples: Sequence[Sample]) -> dict[str, str]:
    """The fields of the judge's prompt."""
    return {
        "goal": fence("goal", goal.text),
        "rubric": fence("rubric", goal.rubric or "Does the reply do what the goal asks?"),
        "samples": describe_samples(samples),
    }
