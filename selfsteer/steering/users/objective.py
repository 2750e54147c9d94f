"""The objective: how well something known of a user predicts what the user does next.

Three figures, each on data that nothing was derived from: the gain in bits per token of the user's
messages, the share of choices that come out right, and the rank correlation with ratings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

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
        # Most conditions are plans alone, and read the same rows.
        read: dict[tuple[Message, ...], list[Encoded]] = {}
        for condition in several:
            if condition.before not in read:
                told = [_row(student, condition, turn.words) for turn in user.turns]
                read[condition.before] = told
            rows += read[condition.before]
            plans += [condition.plan] * len(user.turns)
    scored = iter(completion_logprobs(student, rows, plans))
    return [
        [_total([next(scored) for _ in user.turns]) for _ in several]
        for user, several in zip(users, conditions, strict=True)
    ]


def choice_scores(
    student: Student, users: Sequence[History], conditions: Sequence[Sequence[Condition]]
) -> list[list[list[float]]]:
    """For each user, condition and choice: 1 where the condition raises the chosen reply more.

    A reply counts by what the condition adds to its log-probability, the implicit reward of
    Rafailov et al., "Direct preference optimization" (2023): what the student finds likely anyway
    says nothing of the user. Where it adds as much to both, the choice counts half.

    Raises:
        DatasetError: a user without choices.
    """
    for number, user in enumerate(users):
        if not user.choices:
            raise DatasetError(f"User {number} has made no choice to be judged by.")
    replies = [
        [(c.prompt, text) for c in user.choices for text in (c.chosen, c.rejected)]
        for user in users
    ]
    return [
        [
            [0.5 if a == b else float(a > b) for a, b in zip(told[::2], told[1::2], strict=True)]
            for told in of_user
        ]
        for of_user in _rewards(student, replies, conditions)
    ]


def rating_rewards(
    student: Student, users: Sequence[History], conditions: Sequence[Sequence[Condition]]
) -> list[list[list[float]]]:
    """For each user, condition and rated reply what the condition adds to the reply, in nats.

    How well it goes with the ratings is their `rank_correlation`.

    Raises:
        DatasetError: a user with fewer than two different ratings.
    """
    for number, user in enumerate(users):
        if len({rated.rating for rated in user.ratings}) < 2:
            raise DatasetError(f"User {number} has no two different ratings to be judged by.")
    replies = [[(r.prompt, r.reply) for r in user.ratings] for user in users]
    return _rewards(student, replies, conditions)


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's: Pearson's correlation of ranks, where equals share the mean of their ranks."""
    ranks = torch.stack([ranked(left), ranked(right)])
    ranks -= ranks.mean(1, keepdim=True)
    lengths = ranks.norm(dim=1)
    return float(ranks[0] @ ranks[1] / lengths.prod()) if lengths.all() else 0.0


def ranked(values: Sequence[float]) -> Tensor:
    """[N] float64 ranks from 0, equals with the mean of theirs."""
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
    conditions: Sequence[Sequence[Condition]],
) -> list[list[list[float]]]:
    """What each condition of a user adds to the log-probability of each reply, in nats.

    Replies are read once with nothing known; to know nothing adds exactly nothing.
    """
    rows: list[Encoded] = []
    plans: list[Plan] = []
    for several, of_user in zip(replies, conditions, strict=True):
        read: dict[tuple[Message, ...], list[Encoded]] = {}
        for condition in (NOTHING, *_telling(of_user)):
            if condition.before not in read:
                read[condition.before] = [
                    reply_row(student, (*condition.before, *prompt), text)
                    for prompt, text in several
                ]
            rows += read[condition.before]
            plans += [condition.plan] * len(several)
    scores = iter(completion_logprobs(student, rows, plans))
    found = []
    for several, of_user in zip(replies, conditions, strict=True):
        plain, *others = (
            [float(next(scores).double().sum()) for _ in several]
            for _ in range(1 + len(_telling(of_user)))
        )
        added = iter([a - b for a, b in zip(told, plain, strict=True)] for told in others)
        nothing = [0.0] * len(several)
        found.append([nothing if one == NOTHING else next(added) for one in of_user])
    return found


def _telling(conditions: Sequence[Condition]) -> list[Condition]:
    return [condition for condition in conditions if condition != NOTHING]
