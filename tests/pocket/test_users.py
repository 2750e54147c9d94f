"""Simulated users are what they are said to be."""

from __future__ import annotations

from collections import Counter

import pytest

from selfsteer.pocket import oracle
from selfsteer.pocket.users import PROFILE_VALUES, Kind, SimulatedUser, simulate, trait_messages

KINDS: tuple[Kind, ...] = ("steady", "drifting", "noisy", "adversarial")


def kept(user: SimulatedUser, sessions: slice = slice(None)) -> float:
    """The share of attributes of the user's turns that follow the profile."""
    turns = [s.text for session in user.sessions[sessions] for s in session if s.role == "user"]
    hits = Counter(
        oracle.expresses(turn, **{family: value})
        for turn in turns
        for family, value in user.truth.items()
    )
    return hits[True] / sum(hits.values())


def mean(kind: Kind, sessions: slice) -> float:
    users = list(simulate(40, seed=1, kind=kind))
    return sum(kept(user, sessions) for user in users) / len(users)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_users(kind: Kind) -> None:
    assert list(simulate(3, seed=4, kind=kind)) == list(simulate(3, seed=4, kind=kind))
    assert list(simulate(3, seed=4, kind=kind)) != list(simulate(3, seed=5, kind=kind))


def test_a_steady_user_follows_the_profile_in_all_sessions() -> None:
    assert 0.68 < mean("steady", slice(None)) < 0.85


def test_a_noisy_user_follows_it_less() -> None:
    assert mean("noisy", slice(None)) < mean("steady", slice(None)) - 0.1


def test_a_drifting_user_follows_it_half_of_the_first_session() -> None:
    first, later = mean("drifting", slice(0, 1)), mean("drifting", slice(1, None))
    assert first < later - 0.1


def test_an_adversarial_user_shows_something_else_first() -> None:
    assert mean("adversarial", slice(0, 1)) < 0.2
    assert mean("adversarial", slice(1, None)) > 0.68


def test_choices_and_ratings_follow_the_profile() -> None:
    users = list(simulate(40, seed=2))

    def shown(text: str, user: SimulatedUser) -> int:
        return sum(oracle.expresses(text, **{f: v}) for f, v in user.truth.items())

    better = [
        shown(one.chosen, user) > shown(one.rejected, user) for user in users for one in user.liked
    ]
    assert sum(better) / len(better) > 0.9
    for user in users:
        for rated in user.rated:
            assert abs(rated.rating - shown(rated.reply, user)) <= 0.5


def test_messages_of_a_trait_show_it() -> None:
    found = trait_messages(5, seed=0)
    families = {value: family for family, values in PROFILE_VALUES.items() for value in values}
    assert set(found) == set(families)
    for value, texts in found.items():
        assert len(texts) == 5
        assert all(oracle.expresses(text, **{families[value]: value}) for text in texts)


def test_the_written_profiles_name_every_value() -> None:
    [user] = simulate(1, seed=3)
    for text in user.written_profiles:
        assert all(value in text for value in user.truth.values())
