"""What is known of users at large, learned once for all tests of a process."""

from __future__ import annotations

from functools import cache

from selfsteer.pocket.users import SimulatedUser, simulate, trait_messages
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.users.fitting import fit_encoder
from selfsteer.steering.users.history import Choice, History, Rated
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.traits import trait_vectors

CROWD, EPOCHS = 60, 4


@cache
def pocket() -> Student:
    return Student.load("pocket")


@cache
def pocket_encoder() -> UserEncoder:
    """Learned from few users, in seconds; good enough to tell people apart."""
    return fit_encoder(pocket(), [history(user) for user in simulate(CROWD, seed=5)], epochs=EPOCHS)


@cache
def pocket_known() -> Known:
    encoder = pocket_encoder()
    return Known(encoder, trait_vectors(pocket(), encoder, trait_messages(20, seed=5)))


def messages(user: SimulatedUser) -> list[list[Message]]:
    """The sessions of a simulated user."""
    return [
        [Message.model_validate({"role": s.role, "content": s.text}) for s in session]
        for session in user.sessions
    ]


def history(user: SimulatedUser) -> History:
    """All that is known of a simulated user."""
    return History(
        History.of_sessions(messages(user)).turns,
        tuple(
            Choice((Message(role="user", content=one.prompt),), one.chosen, one.rejected)
            for one in user.liked
        ),
        tuple(
            Rated((Message(role="user", content=one.prompt),), one.reply, one.rating)
            for one in user.rated
        ),
    )
