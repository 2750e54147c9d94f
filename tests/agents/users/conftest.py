"""A memory with simulated users in it, and a crowd to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from selfsteer.agents.users.learning import Crowd
from selfsteer.memory.store import Memory
from selfsteer.memory.users import Message, Observation, Preference, Rating
from selfsteer.pocket.users import SimulatedUser, simulate, trait_messages
from tests.known import CROWD, history

Put = Callable[..., SimulatedUser]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "memory.db") as opened:
        yield opened


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(
        histories=lambda: [history(user) for user in simulate(CROWD, seed=5)],
        traits=lambda: trait_messages(20, seed=5),
    )


def observed(
    user: SimulatedUser, scope: str = "private", sessions: slice = slice(None)
) -> list[Observation]:
    """What a simulated user wrote, as it is put on record."""
    told: list[Observation] = [
        Message(
            session=f"s{number}",
            order=order,
            source="api",
            scope=scope,
            role=s.role,
            content=s.text,
        )
        for number, session in list(enumerate(user.sessions))[sessions]
        for order, s in enumerate(session)
    ]
    for order, liked in enumerate(user.liked):
        prompt = [{"role": "user", "content": liked.prompt}]
        told.append(
            Preference(
                session="liked",
                order=order,
                source="api",
                scope=scope,
                prompt=prompt,
                chosen=liked.chosen,
                rejected=liked.rejected,
            )
        )
    for order, rated in enumerate(user.rated):
        prompt = [{"role": "user", "content": rated.prompt}]
        told.append(
            Rating(
                session="rated",
                order=order,
                source="api",
                scope=scope,
                prompt=prompt,
                reply=rated.reply,
                rating=rated.rating,
            )
        )
    return told


@pytest.fixture
def put(memory: Memory) -> Put:
    """Puts a simulated user into the memory, and returns the truth about them."""

    def putting(
        name: str,
        seed: int,
        *,
        kind: str = "steady",
        scope: str = "private",
        consents: bool = False,
        sessions: slice = slice(None),
    ) -> SimulatedUser:
        [user] = simulate(1, seed=seed, kind=kind, sessions=2)  # type: ignore[arg-type]
        memory.users.add(name, consents=consents)
        memory.users.observe(name, observed(user, scope, sessions))
        return user

    return putting
