"""The family of a stored vector, and what it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfsteer.memory import Memory, Round, Run
from selfsteer.memory.lineage import explain, family
from selfsteer.steering.breeding import mutate, weighted_sum
from selfsteer.steering.vectors import SteeringVector, random_like
from tests.memory.damage import alter_blob
from tests.steering.test_vectors import make


def stored(memory: Memory, *vectors: SteeringVector) -> None:
    for vector in vectors:
        memory.put_vector(vector)


def test_ancestors_carry_what_is_known_of_them(memory: Memory, run: Run) -> None:
    a, b = make(0), make(1, dataset_id="e" * 16)
    child = a + b
    grandchild = mutate(child, 0.1, 0)
    stored(memory, a, b, child, grandchild)
    for number in (1, 2):
        memory.runs.add_round(
            Round(run_id=run.id, number=number, vector_id=a.id, decision="confirm", reason="good")
        )
    tree = family(memory, grandchild)
    assert [(one.id, one.generation) for one in tree.values()] == [
        (grandchild.id, 0),
        (child.id, 1),
        (a.id, 2),
        (b.id, 2),
    ]
    assert tree[grandchild.id].parents == (child.id,)
    assert tree[child.id].method == "add"
    assert (tree[a.id].runs, tree[b.id].runs) == ((run.id,), ())
    assert (tree[b.id].concept, tree[b.id].dataset_id) == ("concept 1", "e" * 16)
    assert all(one.stored for one in tree.values())


def test_an_ancestor_that_is_not_stored_is_named(memory: Memory) -> None:
    a, b = make(0), make(1)
    child = (a + b) - b
    stored(memory, b, child)
    tree = family(memory, child)
    assert {name: one.stored for name, one in tree.items()} == {
        child.id: True,
        (a + b).id: False,
        b.id: True,
    }


def test_lines_that_meet_are_told_once(memory: Memory) -> None:
    vector = make(0)
    for _ in range(40):  # 2 ** 40 lines of descent
        memory.put_vector(vector)
        vector = vector + vector
    assert len(family(memory, vector)) == 41


def test_a_sum_is_told_in_terms_of_what_it_was_made_from(memory: Memory) -> None:
    sibling_of = [make(seed) for seed in range(4)]
    a, b, c, _ = sibling_of
    target = weighted_sum([(0.7, a), (0.3, b)])
    # All that could explain it as well comes before, or descends from it.
    stored(memory, a - c, c, 2 * b, target + c, 5 * target, target, b, a)
    told = explain(memory, target)
    weights = told.made_of.coefficients
    assert weights == pytest.approx({a.id: 0.7, b.id: 0.3, c.id: 0.0}, abs=1e-5)
    assert list(weights)[:2] == [b.id, a.id]
    assert told.made_of.residual < 1e-5
    assert told.concepts == {a.id: "concept 0", b.id: "concept 1", c.id: "concept 2"}
    assert told.ancestors == {a.id, b.id}
    assert set(told.made_of.dependent) == {(a - c).id, (2 * b).id}


def test_neighbours_come_by_cosine(memory: Memory) -> None:
    a = make(0)
    near, far, opposite = mutate(a, 0.1, 0), mutate(a, 1.0, 0), -1 * a
    stored(memory, opposite, far, a, near)
    found = explain(memory, a, neighbours=2).neighbours
    assert [one.id for one in found] == [near.id, far.id]
    assert found[0].cosine == pytest.approx(1 / 1.01**0.5, abs=0.05)
    assert found[0].concept == near.concept
    assert [one.cosine for one in explain(memory, a).neighbours][-1] == pytest.approx(-1)


def test_an_altered_vector_is_left_out_and_the_rest_explains(memory: Memory, path: Path) -> None:
    a, b = make(0), make(1)
    target = a + b
    stored(memory, a, b, target)
    alter_blob(path, b.id)
    with Memory.open(path) as again, pytest.warns(UserWarning, match=b.id):
        told = explain(again, target)
    assert set(told.made_of.coefficients) == {a.id}
    assert [one.id for one in told.neighbours] == [a.id]


def test_vectors_of_other_students_play_no_part(memory: Memory) -> None:
    a = make(0)
    stored(memory, make(1, student_fingerprint="e" * 64), a)
    told = explain(memory, a)
    assert (told.made_of.coefficients, told.made_of.residual, told.neighbours) == ({}, 1.0, [])


def test_a_vector_that_is_not_stored_can_be_explained(memory: Memory) -> None:
    a = make(0)
    stored(memory, a)
    control = random_like(a, 99)
    told = explain(memory, control)
    assert told.made_of.residual > 0.5
    assert told.ancestors == {a.id}
    assert not family(memory, control)[control.id].stored
