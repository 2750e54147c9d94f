"""What stands for other users: twenty of them, with other profiles."""

from __future__ import annotations

from selfsteer.app.crowd import strangers
from selfsteer.scenarios.experiments.user_vectors.people import people
from selfsteer.scenarios.experiments.user_vectors.telling import shuffled
from selfsteer.steering.vectors import random_like
from tests.known import pocket_encoder


def test_shuffled_vectors_are_those_of_twenty_users_with_other_profiles() -> None:
    judged = people(25, seed=2)
    origin = pocket_encoder().population_vector()
    vectors = [random_like(origin, number) for number in range(len(judged))]
    owner = {vector.id: person.user.profile for vector, person in zip(vectors, judged, strict=True)}
    for person, conditions in zip(judged, shuffled(judged, vectors), strict=True):
        names = [edit.vector.id for one in conditions for edit in one.plan.edits]
        assert len(set(names)) == len(names) == 20
        assert all(owner[name] != person.user.profile for name in names)


def test_predicting_has_twenty_strangers() -> None:
    assert len(strangers()) == 20
