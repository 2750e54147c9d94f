"""The objective: how well something known of a user predicts what the user does next.

Three figures, each on data that nothing was derived from: the gain in bits per token of the user's
messages, the share of choices that come out right, and the rank correlation with ratings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor

from selfsteer.errors import DatasetError
from selfsteer.steering.encoding import Encoded, encode_turn
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Message
from selfsteer.steering.scoring import completion_logprobs
from selfsteer.steering.users.history import History
from selfsteer.steering.users.replies import reply_row

TURN = "last + response"
"""What a user's plan edits: the token that leads to the words predicted, and the words."""


@dataclass(frozen=True)
class Condition:
    """One way to tell the student of a user: a plan, messages that stand before, or both.

    The oldest of the messages are left out where the student's context has no room for all.
    """

    plan: Plan = field(default_factory=Plan.none)
    before: tuple[Message, ...] = ()


NOTHING = Condition()


@dataclass(frozen=True)
class Fit:
    """How likely a user's messages are under a condition.

    Attributes:
        nats: log-probability of all tokens of all messages.
        tokens: how many there are.
    """

    nats: float
    tokens: int

    def gain(self, over: Fit) -> float:
        """Bits per token more than under another condition."""
        return (self.nats - over.nats) / self.tokens / math.log(2)


def fit_turns(
    student: Student, users: Sequence[History], conditions: Sequence[Sequence[Condition]]
) -> list[list[Fit]]:
    """For each user and each of the conditions given for that user, the fit of their messages.

    Each message is predicted as the first after what the condition lets stand before, so that
    conditions differ in nothing else. All rows of all users are read in one call.

    Raises:
        DatasetError: a user without messages.
    """
    rows: list[Encoded] = []
    plans: list[Plan] = []
    for number, (user, several) in enumerate(zip(users, conditions, strict=True)):
        if not user.turns:
            raise DatasetError(f"User {number} has no message left to be judged by.")
        for condition in several:
            rows += [_row(student, condition, turn.words) for turn in user.turns]
            plans += [condition.plan] * len(user.turns)
    scored = iter(completion_logprobs(student, rows, plans))
    return [
        [_total([next(scored) for _ in user.turns]) for _ in several]
        for user, several in zip(users, conditions, strict=True)
    ]


def preference_accuracy(
    student: Student, users: Sequence[History], conditions: Sequence[Condition]
) -> list[float]:
    """For each user the share of choices in which the condition raises the chosen reply more.

    A reply counts by what the condition adds to its log-probability, the implicit reward of
    Rafailov et al., "Direct preference optimization" (2023): what the student finds likely anyway
    says nothing of the user. Where it adds nothing to either, the choice counts half.

    Raises:
        DatasetError: a user without choices.
    """
    replies = [
        [(c.prompt, text) for c in user.choices for text in (c.chosen, c.rejected)]
        for user in users
    ]
    found = []
    for number, rewards in enumerate(_rewards(student, replies, conditions)):
        if not rewards:
            raise DatasetError(f"User {number} has made no choice to be judged by.")
        margins = [a - b for a, b in zip(rewards[::2], rewards[1::2], strict=True)]
        found.append(fmean(0.5 if margin == 0 else float(margin > 0) for margin in margins))
    return found


def rating_correlation(
    student: Student, users: Sequence[History], conditions: Sequence[Condition]
) -> list[float]:
    """For each user Spearman's rank correlation of ratings with what the condition adds to replies.

    Zero where the condition adds the same to all.

    Raises:
        DatasetError: a user with fewer than two different ratings.
    """
    replies = [[(r.prompt, r.reply) for r in user.ratings] for user in users]
    found = []
    rewarded = _rewards(student, replies, conditions)
    for number, (user, rewards) in enumerate(zip(users, rewarded, strict=True)):
        ratings = [rated.rating for rated in user.ratings]
        if len(set(ratings)) < 2:
            raise DatasetError(f"User {number} has no two different ratings to be judged by.")
        found.append(rank_correlation(rewards, ratings))
    return found


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's: Pearson's correlation of ranks, where equals share the mean of their ranks."""
    ranks = torch.stack([_ranks(left), _ranks(right)])
    ranks -= ranks.mean(1, keepdim=True)
    lengths = ranks.norm(dim=1)
    return float(ranks[0] @ ranks[1] / lengths.prod()) if lengths.all() else 0.0


def _ranks(values: Sequence[float]) -> Tensor:
    """[N] float64 ranks from 0."""
    data = torch.tensor(values, dtype=torch.float64)
    below = (data[None, :] < data[:, None]).sum(1)
    equal = (data[None, :] == data[:, None]).sum(1)
    return below + (equal - 1).double() / 2


def _row(student: Student, condition: Condition, words: str) -> Encoded:
    return encode_turn(student, [*condition.before, Message(role="user", content=words)])


def _total(scores: Sequence[Tensor]) -> Fit:
    return Fit(sum(float(s.double().sum()) for s in scores), sum(len(s) for s in scores))


def _rewards(
    student: Student,
    replies: Sequence[Sequence[tuple[tuple[Message, ...], str]]],
    conditions: Sequence[Condition],
) -> list[list[float]]:
    """What each user's condition adds to the log-probability of each reply, in nats."""
    told: list[Encoded] = []
    plain: list[Encoded] = []
    plans: list[Plan] = []
    for several, condition in zip(replies, conditions, strict=True):
        for prompt, reply in several:
            told.append(reply_row(student, (*condition.before, *prompt), reply))
            plain.append(reply_row(student, prompt, reply))
            plans.append(condition.plan)
    scores = completion_logprobs(student, told + plain, plans + [Plan.none()] * len(plain))
    totals = [float(score.double().sum()) for score in scores]
    added = iter([a - b for a, b in zip(totals, totals[len(told) :], strict=False)])
    return [[next(added) for _ in several] for several in replies]
