"""Genomes and selection: what children are made of, and who has them."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from selfsteer.agents.evolving.genomes import World, at_random, founding, offspring
from selfsteer.agents.evolving.selection import Individual, Look, members, parent
from selfsteer.agents.evolving.settings import Evolution
from selfsteer.agents.types import CandidateResult, Thresholds
from selfsteer.errors import PopulationError
from selfsteer.steering.decomposition import decompose, similarities, similarity
from selfsteer.steering.vectors import SteeringVector
from tests.steering.students import build_student, build_vector

STUDENT = build_student()
seeds = st.integers(0, 2**31)
RANGE = (0.2, 1.6)


def world(count: int = 3) -> World:
    return World.of([build_vector(STUDENT, seed=seed) for seed in range(count)], RANGE)


def one(name: str, seed: int = 0) -> Individual:
    vector = build_vector(STUDENT, seed=seed)
    return Individual(name=name, vector=vector.id, layer=0, strength=0.5, made="founder")


def look(individual: Individual, steerability: float) -> Look:
    return Look(
        individual,
        CandidateResult(
            **individual.spec("reply").model_dump(),
            steerability=steerability,
            coherence=1.0,
            broken=0.0,
            repetition=0.0,
            n=8,
        ),
    )


def test_founders_act_at_every_layer_in_turn() -> None:
    here = world(2)
    bred = founding(here, 2 * len(here.layers), Random(0))
    for founder in here.founders:
        mine = [b.genome for b in bred if b.genome.vector == founder]
        assert sorted(genome.layer for genome in mine) == list(here.layers)
    assert all(RANGE[0] <= b.genome.strength <= RANGE[1] for b in bred)


@given(seeds)
def test_children_stay_in_their_world(seed: int) -> None:
    here, rng = world(), Random(seed)
    first, second = (b.genome for b in founding(here, 2, rng))
    for _ in range(5):
        bred = offspring(here, first, second, rng)
        assert bred.genome.layer in here.layers
        assert RANGE[0] <= bred.genome.strength <= RANGE[1]
        known = {first.vector, second.vector, *here.founders, *bred.steps}
        assert {v.id for v in known} >= set(bred.genome.vector.parents) or bred.made == "dose"
        assert all({v.id for v in known} >= set(step.parents) for step in bred.steps)
        first, second = second, bred.genome


@given(seeds)
def test_a_mix_is_a_sum_of_its_parents(seed: int) -> None:
    here, rng = world(2), Random(seed)
    first, second = (b.genome for b in founding(here, 2, rng))
    bred = offspring(here, first, second, rng)
    if bred.made == "mix":
        mixed = bred.steps[0] if bred.steps else bred.genome.vector
        assert decompose(mixed, here.founders).residual < 1e-4 or len(mixed.layers) > 1
        assert max(decompose(mixed, here.founders).free_residuals.values()) < 1e-4


def test_parents_of_one_vector_have_another_one() -> None:
    here = world(1)
    [bred] = founding(here, 1, Random(0))
    for seed in range(10):
        child = offspring(here, bred.genome, bred.genome, Random(seed))
        assert child.made == "mutation"
        assert child.genome.vector != bred.genome.vector


@given(seeds)
def test_random_search_draws_from_the_span_or_near_it(seed: int) -> None:
    here = world()
    bred = at_random(here, Random(seed))
    assert bred == at_random(here, Random(seed))
    left = max(decompose(bred.genome.vector, here.founders).free_residuals.values())
    assert left < 0.3  # a mutation outside the span turns by 17 degrees
    if bred.genome.vector.method == "weighted_sum":
        assert sum(bred.genome.vector.notes["weights"]) == pytest.approx(1)
        assert min(bred.genome.vector.notes["weights"]) > 0


def test_all_act_where_the_founders_were_read() -> None:
    def of(*selectors: str) -> str:
        read: list[Any] = [SimpleNamespace(selector=selector) for selector in selectors]
        return World(tuple(read), (0,), *RANGE).site

    assert of("response") == "reply"
    assert of("last", "last") == "start"
    assert of("last", "response") == of("user") == of("") == "reply"


def test_deep_students_keep_their_last_blocks() -> None:
    deep = build_student(num_hidden_layers=10)
    assert World.of([build_vector(deep)], RANGE).layers == tuple(range(8))


def test_vectors_at_the_embedding_only_are_refused() -> None:
    whole = build_vector(STUDENT)
    only = SteeringVector(
        **{
            **{name: getattr(whole, name) for name in ("method", "selector", "concept")},
            "directions": {-1: whole.directions[-1]},
            "residual_norms": {-1: 1.0},
            "dataset_id": "",
            "student_fingerprint": STUDENT.fingerprint,
        }
    )
    with pytest.raises(PopulationError, match="embedding"):
        World.of([only], RANGE)


def test_fitness_is_the_mean_of_all_looks() -> None:
    lucky, steady = one("0.0"), one("0.1")
    seen = [look(lucky, 1.0), look(steady, 0.9), look(lucky, 0.5), look(steady, 0.9)]
    first, second = members(seen, Thresholds())
    assert (first.individual, second.individual) == (steady, lucky)
    assert first.looks == second.looks == 2
    [alone] = members(seen[:1], Thresholds())
    assert alone.fitness > first.fitness > second.fitness


def test_a_tournament_favours_the_fit_and_lets_chance_in() -> None:
    ranked = members([look(one(f"0.{i}"), 0.9 - 0.1 * i) for i in range(4)], Thresholds())
    rng = Random(0)
    draws = [parent(ranked, 2, rng).name for _ in range(4000)]
    shares = [draws.count(member.individual.name) / 4000 for member in ranked]
    # of two drawn among four: 7/16, 5/16, 3/16, 1/16
    assert shares == pytest.approx([7 / 16, 5 / 16, 3 / 16, 1 / 16], abs=0.03)
    assert {parent(ranked, 50, rng).name for _ in range(50)} == {"0.0"}


def test_similarities_are_those_of_pairs() -> None:
    here = world().founders
    table = similarities(here, here[:2])
    assert [len(row) for row in table] == [2, 2, 2]
    assert table[2][1] == pytest.approx(similarity(here[2], here[1]))
    assert table[0][0] == pytest.approx(1)


@pytest.mark.parametrize(
    "shape",
    [
        {"founders": ()},
        {"founders": ("no id",)},
        {"population": 3},
        {"generations": 0},
        {"population": 4, "elites": 4},
    ],
)
def test_populations_that_cannot_be_are_refused(shape: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Evolution(**({"founders": ("0" * 16,)} | shape))
