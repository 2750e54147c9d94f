"""A document of Pocket's training: who speaks, what, and how much its words weigh."""

from __future__ import annotations

from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant", "text"]


class Segment(NamedTuple):
    """A stretch of one speaker; `loss` is the weight with which the model learns to say it."""

    role: Role
    text: str
    loss: float


Document = tuple[Segment, ...]
