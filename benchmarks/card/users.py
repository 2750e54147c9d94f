"""Do a user's earlier turns help to predict the next one?"""

from __future__ import annotations

import math

from benchmarks.bars import Bar
from benchmarks.card.replies import named
from selfsteer.pocket.users import UserProfile, dialogue
from selfsteer.steering.metrics.intervals import bootstrap_mean
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs

USERS, EXCHANGES, FIRST_TURN = 150, 8, 3


def user_gain(student: Student, draw: int = 0) -> Bar:
    """Bits per token of user turns, with the dialogue so far against none.

    Turns from the fourth on count; the user is the unit of the interval.
    """
    rng = named("users", draw)
    gains = []
    for _ in range(USERS):
        segments = dialogue(rng, UserProfile.draw(rng), EXCHANGES)
        told, alone = [], []
        for index in range(2 * FIRST_TURN, len(segments), 2):
            history = "".join(f"<|{s.role}|>{s.text}<|end|>" for s in segments[:index])
            turn = segments[index].text
            told.append(Example(prompt=Prompt.raw(f"{history}<|user|>"), completion=turn))
            alone.append(Example(prompt=Prompt.raw("<|user|>"), completion=turn))
        scores = completion_logprobs(student, told + alone)
        nats = [float(score.sum()) for score in scores]
        tokens = sum(len(score) for score in scores[: len(told)])
        gain = sum(nats[: len(told)]) - sum(nats[len(told) :])
        gains.append(gain / tokens / math.log(2))
    low, high = bootstrap_mean(gains, seed=0)
    return Bar(
        "user turns, bits per token gained",
        sum(gains) / len(gains),
        0.15,
        note=f"{USERS} users [{low:.3f}, {high:.3f}]",
    )
