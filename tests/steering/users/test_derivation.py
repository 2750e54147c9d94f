"""Ways of deriving: what each reads, and how age, agreement and number of the evidence count."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from selfsteer.errors import DatasetError
from selfsteer.pocket.users import simulate
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.derivation.registry import METHODS, derive, read_by
from selfsteer.steering.users.history import Choice, History, Rated
from selfsteer.steering.users.traits import trait_coordinates
from selfsteer.steering.vectors import SteeringVector
from tests.known import history, pocket, pocket_known

ASKED = (Message(role="user", content="Tell me of the sea."),)
[USER] = simulate(1, seed=51)
EVERYTHING = history(USER)


def made(method: str, of: History, half_life: float | None = None) -> SteeringVector:
    return derive(method, pocket(), of, pocket_known(), half_life=half_life)


def apart(vector: SteeringVector) -> torch.Tensor:
    """The vector less the population's."""
    known = pocket_known()
    return (vector - known.encoder.population_vector()).directions[known.encoder.layer]


def cosine(one: SteeringVector, other: SteeringVector) -> float:
    layer = pocket_known().encoder.layer
    return float(torch.cosine_similarity(one.directions[layer], other.directions[layer], dim=0))


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_does_not_read_changes_nothing(method: str) -> None:
    read = read_by(method, EVERYTHING)
    assert 0 < read.size < EVERYTHING.size
    assert made(method, EVERYTHING).id == made(method, read).id


def test_a_history_without_what_a_method_reads_names_those_that_would_do() -> None:
    feedback = replace(EVERYTHING, turns=())
    with pytest.raises(DatasetError, match=r"needs messages of the user.*; preference would do"):
        made("predictive", feedback)
    with pytest.raises(DatasetError, match=r"needs choices or ratings.*predictive, contrast"):
        made("preference", History(EVERYTHING.turns))


def test_positive_traits_avoid_nothing() -> None:
    known = pocket_known()
    signed, positive = (made(method, EVERYTHING) for method in ("traits", "positive_traits"))
    assert min(signed.notes["coordinates"].values()) < 0
    assert min(positive.notes["coordinates"].values()) >= 0
    assert max(positive.notes["coordinates"].values()) > 0
    own = made("predictive", EVERYTHING) - known.encoder.population_vector()
    wanted = trait_coordinates(own, known.traits, known.encoder.layer, signed=False)
    assert positive.notes["coordinates"] == pytest.approx(wanted, abs=1e-3)


def test_old_ratings_fade_wherever_they_stand_in_the_order_of_ratings() -> None:
    likes = [Rated(ASKED, liked.chosen, 2.0) for liked in USER.liked[:3]]
    likes += [Rated(ASKED, liked.rejected, 1.0) for liked in USER.liked[:3]]
    # The newest ones say the opposite, at the ends of the scale: they would be the first pair.
    newest = [Rated(ASKED, USER.liked[3].rejected, 9.0), Rated(ASKED, USER.liked[3].chosen, 0.0)]
    told, turned = History(ratings=tuple(likes + newest)), History(ratings=tuple(newest + likes))
    latest = made("preference", History(ratings=tuple(newest)))
    fading, faded = (made("preference", one, half_life=1.0) for one in (told, turned))
    assert cosine(fading, latest) > 0.9
    assert cosine(faded, latest) < 0.1
    assert made("preference", told).directions.keys() == fading.directions.keys()


def test_choices_that_point_apart_count_for_fewer() -> None:
    choices = [Choice(ASKED, liked.chosen, liked.rejected) for liked in USER.liked]
    against = [Choice(ASKED, c.rejected, c.chosen) for c in choices[::2]]
    agreeing = made("preference", History(choices=tuple(choices)))
    torn = made("preference", History(choices=(*choices[1::2], *against)))
    assert torn.notes["worth"] < agreeing.notes["worth"]
    assert torn.notes["pairs"] == agreeing.notes["pairs"]


def test_descent_is_shrunk_by_evidence_and_forgets_with_age() -> None:
    one, all_ = (made("optimised", history(USER).latest(n)) for n in (1, 20))
    assert one.notes["worth"] == pytest.approx(1.0)
    assert 10 < all_.notes["worth"] < 40
    bound = 0.5 * one.residual_norms[pocket_known().encoder.layer]
    origin = apart(one - made("optimised", history(USER).latest(1)))  # the population's, turned
    longest = (bound + float(origin.norm())) / 4  # one message keeps a quarter
    assert float(apart(one).norm()) <= longest * 1.001
    fading = made("optimised", history(USER), half_life=2.0)
    assert fading.notes["worth"] < all_.notes["worth"]
    assert cosine(fading, all_) < 0.99
