"""What the study finds, in one record."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any

from selfsteer.scenarios.experiments.user_vectors.measures import Mean
from selfsteer.scenarios.experiments.user_vectors.plateau import BasisCurve
from selfsteer.steering.users.arms import Measure


@dataclass(frozen=True)
class Arms:
    """What each thing that is known of users comes to, by one measure.

    Attributes:
        none: nothing known.
        population: what is added for everybody.
        own: the user's own vector.
        shuffled: vectors of twenty users with other profiles, on average.
        traits: the user's coordinates on named vectors, and no more of them.
        profile: the true profile as a system prompt, in the wording that was best on other users.
        history: the ten messages and their replies in context, as far as the student can see.
    """

    none: Mean
    population: Mean
    own: Mean
    shuffled: Mean
    traits: Mean
    profile: Mean
    history: Mean

    @property
    def by_name(self) -> dict[str, Mean]:
        """All of them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def best_prompt(self) -> Mean:
        """The better of the two prompt-side methods."""
        return max(self.profile, self.history, key=lambda figure: figure.mean)

    @property
    def own_ahead(self) -> dict[str, Mean]:
        """The user's own vector over each other thing, user by user."""
        return {name: self.own.over(other) for name, other in self.by_name.items() if name != "own"}


@dataclass(frozen=True)
class MethodRow:
    """One way of deriving vectors, on some of the users.

    Attributes:
        gain: bits per token over nothing known.
        accuracy: on held-out choices between two replies.
        correlation: Spearman's, with held-out ratings.
        dose: times the raw vector, chosen on other users where the method leaves it open.
    """

    gain: Mean
    accuracy: Mean
    correlation: Mean
    dose: float


@dataclass(frozen=True)
class Study:
    """All that came out.

    Attributes:
        users: who were judged.
        crowd: who was learned from.
        arms: the main comparison, from ten messages: bits per token of ten others.
        choices, ratings: the same of some of the users: the share of held-out choices that come
            out right, and the rank correlation with held-out ratings.
        recovered: by attribute, the share of users whose strongest trait is the true one.
        cold_start: own vector over the population's, by the number of messages.
        kinds: own over population for other kinds of users; drifting ones also with recency.
        methods: every way of deriving.
        basis: gain against the number of shared vectors.
        history_tokens, history_messages: what stands in context for the arm ``history``, on
            average.
        context_tokens: how many the student can take; None where it does not say.
        reach: how many of them can matter to one token; None where all can.
    """

    student: str
    fingerprint: str
    seed: int
    users: int
    crowd: int
    arms: Arms
    choices: Arms
    ratings: Arms
    recovered: dict[str, float]
    cold_start: dict[int, Mean]
    kinds: dict[str, Mean]
    methods: dict[str, MethodRow]
    basis: BasisCurve
    history_tokens: float
    history_messages: float
    context_tokens: int | None
    reach: int | None

    @property
    def measures(self) -> dict[Measure, Arms]:
        """The main comparison by each measure."""
        return {"messages": self.arms, "choices": self.choices, "ratings": self.ratings}

    @property
    def told_apart(self) -> float:
        """The share of users whose own vector predicts them better than a shuffled one."""
        return fmean(ahead > 0 for ahead in self.arms.own_ahead["shuffled"].users)

    def as_json(self) -> dict[str, Any]:
        """JSON values, with each user's own figures."""
        told = asdict(self)
        told["told_apart"] = self.told_apart
        told["own_ahead"] = {
            measure: {name: asdict(over) for name, over in arms.own_ahead.items()}
            for measure, arms in self.measures.items()
        }
        return told
