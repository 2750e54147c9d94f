"""Users as strengths on named vectors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from selfsteer.errors import VectorError
from selfsteer.pocket.users import PROFILE_VALUES, simulate
from selfsteer.steering.users import traits
from selfsteer.steering.users.traits import of_traits, trait_coordinates, trait_vectors
from selfsteer.steering.vectors import SteeringVector
from tests.known import history, pocket, pocket_encoder, pocket_known
from tests.steering.students import build_student, build_vector

STUDENT = build_student("llama")
NAMED = {name: build_vector(STUDENT, seed) for seed, name in enumerate(("kind", "brisk", "odd"))}
strengths = st.lists(st.floats(-2, 2), min_size=3, max_size=3)


def mix(values: list[float]) -> SteeringVector:
    return of_traits(dict(zip(NAMED, values, strict=True)), NAMED)


@given(strengths)
def test_planted_strengths_are_found_again_but_for_the_penalty(values: list[float]) -> None:
    found = trait_coordinates(mix(values), NAMED, 1)
    for wanted, one in zip(values, found.values(), strict=True):
        assert one == pytest.approx(wanted, abs=0.25 * max(map(abs, values)) + 1e-6)


@given(strengths)
def test_the_sum_is_linear_in_the_vector(values: list[float]) -> None:
    once = trait_coordinates(mix(values), NAMED, 1)
    twice = trait_coordinates(2.0 * mix(values), NAMED, 1)
    assert list(twice.values()) == pytest.approx([2 * one for one in once.values()], abs=1e-5)


@given(strengths)
def test_non_negative_strengths_are_those_of_scipy(values: list[float]) -> None:
    vector = mix(values)
    rows = torch.stack([one.directions[1].double() for one in NAMED.values()])
    weight = traits.PENALTY * (rows @ rows.mT).diagonal().mean()
    stacked = torch.cat([rows.mT, weight.sqrt() * torch.eye(3, dtype=torch.float64)])
    wanted = torch.cat([vector.directions[1].double(), torch.zeros(3, dtype=torch.float64)])
    expected, _ = nnls(stacked.numpy(), wanted.numpy())
    found = trait_coordinates(vector, NAMED, 1, signed=False)
    assert list(found.values()) == pytest.approx(expected.tolist(), abs=1e-6)


def test_profiles_are_read_back_from_vectors() -> None:
    known = pocket_known()
    users = list(simulate(25, seed=8))
    vectors = known.encoder.vectors(pocket(), [history(user) for user in users])
    origin = known.encoder.population_vector()
    hits = [
        max(values, key=trait_coordinates(vector - origin, known.traits, 3).__getitem__)
        == user.truth[family]
        for user, vector in zip(users, vectors, strict=True)
        for family, values in PROFILE_VALUES.items()
    ]
    assert sum(hits) / len(hits) >= 0.75


def test_no_named_vectors_is_said() -> None:
    with pytest.raises(VectorError, match="no named vectors"):
        trait_coordinates(build_vector(STUDENT), {}, 1)


def test_a_layer_that_is_missing_is_said() -> None:
    vector = build_vector(STUDENT)
    short = replace(vector, directions={0: vector.directions[0]}, residual_norms={0: 1.0})
    with pytest.raises(VectorError, match="no direction at layer 1"):
        trait_coordinates(short, NAMED, 1)


def test_one_trait_alone_cannot_be_told() -> None:
    with pytest.raises(VectorError, match="two or more"):
        trait_vectors(pocket(), pocket_encoder(), {"sad": ["I weep."]})
