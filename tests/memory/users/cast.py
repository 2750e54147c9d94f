"""Users, what they say, and vectors of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from selfsteer.memory import Memory
from selfsteer.memory.users import Message, Rating, UserVector
from selfsteer.steering.vectors import SteeringVector

FINGERPRINT = "f" * 64
OTHER = "e" * 64


def says(content: str, order: int = 0, session: str = "s", **more: Any) -> Message:
    return Message(session=session, order=order, source="api", role="user", content=content, **more)


def rates(rating: float, order: int = 0, session: str = "s", **more: Any) -> Rating:
    prompt: Any = [{"role": "user", "content": "Hello."}]
    return Rating(
        session=session,
        order=order,
        source="api",
        prompt=prompt,
        reply="Hi.",
        rating=rating,
        **more,
    )


def direction(seed: int, *, parents: Sequence[SteeringVector] = (), **more: Any) -> SteeringVector:
    generator = torch.Generator().manual_seed(seed)
    made = SteeringVector(
        directions={layer: torch.randn(16, generator=generator) for layer in (0, 2)},
        residual_norms={0: 1.0, 2: 2.5},
        method="mean_difference",
        selector="response",
        concept=f"concept {seed}",
        dataset_id="",
        student_fingerprint=FINGERPRINT,
        parents=tuple(parent.id for parent in parents),
    )
    return replace(made, **more)


def give(
    memory: Memory,
    user_id: str,
    vector: SteeringVector,
    evidence: Sequence[str] = (),
    *,
    method: str = "contrast",
    plan: Mapping[str, Any] | None = None,
) -> UserVector:
    """A version for a user."""
    memory.put_vector(vector)
    return memory.users.put_vector(
        user_id,
        vector.id,
        method=method,
        settings={"shrinkage": 0.5},
        plan={"vector": vector.id} if plan is None else plan,
        evidence=evidence,
        scores={"bits": 0.25},
    )
