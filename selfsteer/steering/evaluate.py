"""Scores candidates: every plan on every prompt, as one batched call, under a judge handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

from pydantic import JsonValue

from selfsteer.errors import ControllerError, PlanError
from selfsteer.steering.generate import Generation, generate
from selfsteer.steering.metrics.coherence import (
    broken,
    distinct,
    log_likelihoods,
    longest_repeat,
    ratio_of_perplexities,
)
from selfsteer.steering.metrics.intervals import Interval, bootstrap_mean
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt

_T = TypeVar("_T")

PROMPT_ONLY = "prompt_only"  # the arm that is instructed and not steered


@dataclass(frozen=True)
class Judged:
    """What a judge sees: the prompt as the user put it, and the reply."""

    prompt: Prompt
    reply: str


Judge = Callable[[Sequence[Judged]], list[float]]
"""For each reply the probability, 0 to 1, that it does what the goal asks."""


@dataclass(frozen=True)
class ScoredReply:
    """One sample of one candidate.

    Attributes:
        prompt: the prompt as the user put it.
        text: the reply.
        score: the judge's probability that it does what the goal asks.
        finished: whether the reply ended by itself rather than at the length limit.
    """

    prompt: Prompt
    text: str
    score: float
    finished: bool


@dataclass(frozen=True)
class CandidateScore:
    """What a plan did.

    Attributes:
        plan: the candidate.
        steerability: the mean score of its replies, 0 to 1.
        interval: 95 % bootstrap interval of ``steerability`` over prompts.
        coherence: perplexity of the replies under the unsteered student given the instructed
            prompts, over that of the replies of the prompt-only arm; 1 is as coherent, more is
            less coherent.
        broken: share of the replies that hold a slip or nothing, less that share in the
            prompt-only arm, 0 to 1.
        repetition: mean share of a reply that its longest repeated n-gram covers, 0 to 1.
        distinct_2: mean share of a reply's token bigrams that are different, 0 to 1.
        n: the number of replies.
        replies: every reply, prompt by prompt, the samples of a prompt together.
    """

    plan: Plan
    steerability: float
    interval: Interval
    coherence: float
    broken: float
    repetition: float
    distinct_2: float
    n: int
    replies: tuple[ScoredReply, ...]


@dataclass(frozen=True)
class Samples:
    """The replies of several plans to the same prompts, before anyone has judged them.

    Attributes:
        asked: the prompt of each reply of an arm, as the user put it; samples of a prompt together.
        told: the same with the goal as an instruction.
        replies: for each plan, a reply to each prompt of ``asked``.
        reference: replies of the prompt-only arm, to the prompts of ``told``.
        samples_per_prompt: how many replies each plan gave to each prompt.
    """

    asked: tuple[Prompt, ...]
    told: tuple[Prompt, ...]
    replies: tuple[tuple[Generation, ...], ...]
    reference: tuple[Generation, ...]
    samples_per_prompt: int

    @property
    def generated_tokens(self) -> int:
        """Tokens that the student wrote for these samples."""
        return sum(len(reply.ids) for arm in (*self.replies, self.reference) for reply in arm)

    def thinned(self, per_prompt: int) -> Samples:
        """The first samples of every prompt only, where judging all of them would cost too much."""
        if per_prompt >= self.samples_per_prompt:
            return self
        kept = [i for i in range(len(self.asked)) if i % self.samples_per_prompt < per_prompt]
        return Samples(
            asked=tuple(self.asked[i] for i in kept),
            told=tuple(self.told[i] for i in kept),
            replies=tuple(tuple(arm[i] for i in kept) for arm in self.replies),
            reference=tuple(self.reference[i] for i in kept),
            samples_per_prompt=per_prompt,
        )

    def judged_reference(self) -> list[Judged]:
        """The prompt-only arm, for a judge to see: the prompt without the instruction."""
        return [Judged(p, reply.text) for p, reply in zip(self.asked, self.reference, strict=True)]

    def to_rows(self) -> list[dict[str, JsonValue]]:
        """One JSON object per reply, for the memory; arm "prompt_only" or the plan's number."""
        rows: list[dict[str, JsonValue]] = []
        arms: list[tuple[int | str, Sequence[Generation]]] = [*enumerate(self.replies)]
        for arm, replies in [*arms, (PROMPT_ONLY, self.reference)]:
            for position, (prompt, reply) in enumerate(zip(self.asked, replies, strict=True)):
                rows.append(
                    {
                        "arm": arm,
                        "sample": position % self.samples_per_prompt,
                        "prompt": prompt.model_dump(mode="json"),
                        "reply": reply.text,
                        "ids": list(reply.ids),
                        "finished": reply.finished,
                    }
                )
        return rows

    @classmethod
    def from_rows(
        cls, rows: Sequence[Mapping[str, Any]], *, instructed: Callable[[Prompt], Prompt] | None
    ) -> Samples:
        """Read back what :meth:`to_rows` gave."""
        arms: dict[int | str, list[Generation]] = {}
        asked: list[Prompt] = []
        for row in rows:
            arm = arms.setdefault(row["arm"], [])
            arm.append(Generation(row["reply"], list(row["ids"]), row["finished"]))
            if row["arm"] == PROMPT_ONLY:
                asked.append(Prompt.model_validate(row["prompt"]))
        reference = tuple(arms.pop(PROMPT_ONLY))
        return cls(
            asked=tuple(asked),
            told=tuple(_told(asked, instructed)),
            replies=tuple(tuple(arm) for arm in arms.values()),
            reference=reference,
            samples_per_prompt=1 + max(row["sample"] for row in rows),
        )


def sample(
    student: Student,
    plans: Sequence[Plan],
    prompts: Sequence[Prompt],
    *,
    samples_per_prompt: int = 1,
    temperature: float = 0.8,
    max_new_tokens: int = 96,
    seed: int = 0,
    instructed: Callable[[Prompt], Prompt] | None = None,
) -> Samples:
    """The replies of every plan, and of the prompt-only arm that coherence is relative to.

    All candidates, prompts and samples are rows of one generate call.

    Args:
        samples_per_prompt: replies that each candidate gives to each prompt.
        temperature: of the sampling; 0 is greedy.
        instructed: puts the goal into a prompt as its system message. None leaves the prompts as
            they are: coherence is then relative to the student's plain replies, and a steered reply
            pays for being unlike them.

    Raises:
        PlanError: no plans, no prompts or no samples.
    """
    if not plans or not prompts or samples_per_prompt < 1:
        raise PlanError("An evaluation needs one plan, one prompt and one sample at least.")
    asked = [prompt for prompt in prompts for _ in range(samples_per_prompt)]
    told = _told(asked, instructed)
    arms = [*((plan, asked) for plan in plans), (Plan.none(), told)]
    generations = generate(
        student,
        [prompt for _, arm_prompts in arms for prompt in arm_prompts],
        [plan for plan, arm_prompts in arms for _ in arm_prompts],
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        overflow="end",  # a candidate that overflows has lost; the others go on
    )
    *replies, reference = (tuple(arm) for arm in _split(generations, len(asked)))
    return Samples(tuple(asked), tuple(told), tuple(replies), reference, samples_per_prompt)


def score(
    student: Student, plans: Sequence[Plan], samples: Samples, judge: Judge, *, seed: int = 0
) -> list[CandidateScore]:
    """Judge samples and measure their coherence, in the order of ``plans``; hooks are off.

    Args:
        judge: scores all replies in one call.
        seed: of the bootstrap.

    Raises:
        ControllerError: the judge returns another number of scores, or scores outside 0 to 1.
        StudentError: the prompt-only arm says nothing.
    """
    scores = _split(_judge(judge, samples), len(samples.asked))
    costs = _costs(student, samples)
    return [
        _score(plan, samples, arm, arm_scores, cost, seed)
        for plan, arm, arm_scores, cost in zip(plans, samples.replies, scores, costs, strict=True)
    ]


def evaluate(
    student: Student,
    plans: Sequence[Plan],
    prompts: Sequence[Prompt],
    judge: Judge,
    *,
    samples_per_prompt: int = 1,
    temperature: float = 0.8,
    max_new_tokens: int = 96,
    seed: int = 0,
    instructed: Callable[[Prompt], Prompt] | None = None,
) -> list[CandidateScore]:
    """Sample every plan on every prompt and score the replies: :func:`sample`, then :func:`score`.

    Args and errors are those of the two.
    """
    samples = sample(
        student,
        plans,
        prompts,
        samples_per_prompt=samples_per_prompt,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        seed=seed,
        instructed=instructed,
    )
    return score(student, plans, samples, judge, seed=seed)


def _told(asked: Sequence[Prompt], instructed: Callable[[Prompt], Prompt] | None) -> list[Prompt]:
    return list(asked) if instructed is None else [instructed(prompt) for prompt in asked]


def _split(values: Sequence[_T], size: int) -> list[list[_T]]:
    """``values`` in parts of ``size``."""
    return [list(values[start : start + size]) for start in range(0, len(values), size)]


def _judge(judge: Judge, samples: Samples) -> list[float]:
    judged = [
        Judged(prompt, reply.text)
        for arm in samples.replies
        for prompt, reply in zip(samples.asked, arm, strict=True)
    ]
    scores = judge(judged)
    if len(scores) != len(judged):
        raise ControllerError(
            f"The judge gave {len(scores)} scores for {len(judged)} replies, not one for each."
        )
    for value in scores:
        if not 0 <= value <= 1:
            raise ControllerError(f"The judge gave the score {value}; it should be within 0 to 1.")
    return list(scores)


class _Cost(NamedTuple):
    coherence: float
    broken: float


def _costs(student: Student, samples: Samples) -> list[_Cost]:
    """What each arm has cost in language, all scored in one batched call."""
    arms = (*samples.replies, samples.reference)
    texts = [reply.text for arm in arms for reply in arm]
    likelihoods = log_likelihoods(student, [*samples.told] * len(arms), texts)
    *steered, reference = _split(likelihoods, len(samples.told))
    return [
        _Cost(ratio_of_perplexities(student, arm, reference), broken(arm, reference))
        for arm in steered
    ]


def _score(
    plan: Plan,
    samples: Samples,
    replies: Sequence[Generation],
    scores: Sequence[float],
    cost: _Cost,
    seed: int,
) -> CandidateScore:
    # Samples of one prompt are not independent: the prompt is the unit of the bootstrap.
    by_prompt = [fmean(part) for part in _split(scores, samples.samples_per_prompt)]
    return CandidateScore(
        plan=plan,
        steerability=fmean(scores),
        interval=bootstrap_mean(by_prompt, seed=seed),
        coherence=cost.coherence,
        broken=cost.broken,
        repetition=fmean(longest_repeat(reply.ids) for reply in replies),
        distinct_2=fmean(distinct(reply.ids, 2) for reply in replies),
        n=len(replies),
        replies=tuple(
            ScoredReply(prompt, reply.text, value, reply.finished)
            for prompt, reply, value in zip(samples.asked, replies, scores, strict=True)
        ),
    )
