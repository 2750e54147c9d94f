"""What stands for other users: twenty of them, with other profiles, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pytest

from selfsteer.app.crowd import strangers
from selfsteer.scenarios.experiments.user_vectors import measures
from selfsteer.scenarios.experiments.user_vectors.people import people
from selfsteer.steering.vectors import random_like
from tests.known import pocket, pocket_encoder


def test_a_shuffled_vector_is_the_mean_over_twenty_users_with_other_profiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged = people(25, seed=2)
    origin = pocket_encoder().population_vector()
    vectors = [random_like(origin, number) for number in range(len(judged))]
    asked: list[list[str]] = []

    def of_place(_: Any, __: Any, conditions: Sequence[Sequence[Any]]) -> list[list[float]]:
        asked.extend(
            [edit.vector.id for one in several for edit in one.plan.edits] for several in conditions
        )
        return [[float(place * place) for place in range(len(several))] for several in conditions]

    monkeypatch.setattr(measures, "gains", of_place)
    found = measures.shuffled_gain(pocket(), judged, vectors)
    owner = {vector.id: person.user.profile for vector, person in zip(vectors, judged, strict=True)}
    for person, names in zip(judged, asked, strict=True):
        assert len(set(names)) == len(names) == 20
        assert all(owner[name] != person.user.profile for name in names)
    assert found.users == (fmean(place * place for place in range(20)),) * len(judged)


def test_predicting_has_twenty_strangers() -> None:
    assert len(strangers()) == 20
