"""The simulated population that is bundled: it serves while too few users consent to be pooled."""

from __future__ import annotations

from selfsteer.agents.users.learning import Crowd
from selfsteer.pocket.users import simulate, trait_messages
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.history import History

_USERS, _STRANGERS = 200, 20
_TRAIT_MESSAGES = 40
_SEED, _STRANGE_SEED = 0, 1


def bundled_crowd() -> Crowd:
    """Two hundred users with two sessions each, and the traits that they are drawn from."""
    return Crowd(
        histories=lambda: _histories(_USERS, _SEED),
        traits=lambda: trait_messages(_TRAIT_MESSAGES, seed=_SEED),
    )


def strangers() -> list[History]:
    """Twenty users who are in no crowd: what is somebody else's."""
    return _histories(_STRANGERS, _STRANGE_SEED)


def _histories(count: int, seed: int) -> list[History]:
    return [
        History.of_sessions(
            [Message.model_validate({"role": s.role, "content": s.text}) for s in session]
            for session in user.sessions
        )
        for user in simulate(count, seed=seed)
    ]
