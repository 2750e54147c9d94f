"""What a student makes of a user's messages: one activation a message and layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from selfsteer.errors import DatasetError
from selfsteer.steering.capture import Activations, capture
from selfsteer.steering.encoding import encode_turn
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.history import History


def read_turns(
    student: Student, histories: Sequence[History], layers: Sequence[int] | None = None
) -> list[Activations]:
    """For each user [L, n, D]: the mean over the tokens of each of the user's messages.

    A message is read by itself, without what was said before it: what others said, and what the
    user said earlier, are not part of it.

    Args:
        layers: layer numbers; None for all blocks.

    Raises:
        DatasetError: a user without messages.
        StudentError: a layer does not exist.
    """
    counts = [len(history.turns) for history in histories]
    if 0 in counts:
        raise DatasetError(
            f"User {counts.index(0)} of {len(counts)} has no message; there is nothing to read."
        )
    rows = [
        encode_turn(student, [Message(role="user", content=turn.words)])
        for history in histories
        for turn in history.turns
    ]
    read = capture(student, rows, layers, "response")
    values, norms = torch.split(read.values, counts, 1), torch.split(read.norms, counts, 1)
    return [
        Activations(read.layers, of_user, lengths)
        for of_user, lengths in zip(values, norms, strict=True)
    ]
