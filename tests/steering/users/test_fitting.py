"""What is learned predicts people who were not learned from."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest
import torch

from selfsteer.errors import DatasetError
from selfsteer.pocket.users import simulate
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.users.fitting import Progress, fit_encoder
from selfsteer.steering.users.history import History
from selfsteer.steering.users.objective import NOTHING, Condition, fit_turns
from tests.known import history, pocket, pocket_encoder
from tests.steering.families import family_student
from tests.steering.students import build_student

TINY = build_student("llama")


def people(count: int, messages: int) -> list[History]:
    return [
        History.of_sessions(
            [[Message(role="user", content="ab" * (1 + (n + i) % 3))] for i in range(messages)]
        )
        for n in range(count)
    ]


def test_own_vectors_predict_and_others_do_not() -> None:
    encoder = pocket_encoder()
    users = [history(user).split(10) for user in simulate(30, seed=7)]
    vectors = encoder.vectors(pocket(), [told for told, _ in users])
    population = Condition(user_plan(encoder.population_vector()))
    own = [Condition(user_plan(vector)) for vector in vectors]
    conditions = [
        [NOTHING, population, one, own[(place + 7) % len(own)]] for place, one in enumerate(own)
    ]
    fits = fit_turns(pocket(), [judged for _, judged in users], conditions)
    gains = [[fit.gain(user[0]) for fit in user[1:]] for user in fits]
    nobody, mine, others = (fmean(column) for column in zip(*gains, strict=True))
    assert mine > nobody + 0.05
    assert others < nobody
    assert fmean(user[1] > user[2] for user in gains) >= 0.8


def test_the_same_seed_gives_the_same_map() -> None:
    one, other, third = (
        fit_encoder(TINY, people(4, 3), rank=2, epochs=2, seed=seed) for seed in (0, 0, 1)
    )
    assert one.id == other.id != third.id


def test_every_layer_can_be_read_and_steered() -> None:
    found = fit_encoder(TINY, people(4, 3), layer=0, read_layer=2, rank=2, epochs=1)
    [vector] = found.vectors(TINY, people(1, 2))
    assert vector.layers == (0,)
    assert vector.directions[0].isfinite().all()


def test_recurrent_students_see_no_pads() -> None:
    student = family_student("mamba")
    told: list[dict[str, Any]] = []
    with student.model.register_forward_pre_hook(
        lambda _m, _a, kwargs: told.append(kwargs), with_kwargs=True
    ):
        fit_encoder(student, people(4, 3), layer=1, rank=2, epochs=1)
    scored = [kwargs for kwargs in told if "attention_mask" in kwargs]
    assert scored
    assert all(kwargs["attention_mask"] is None for kwargs in scored)
    assert len({kwargs["input_ids"].shape[1] for kwargs in scored}) == 3  # lengths of the messages


def test_progress_is_told_to_the_end() -> None:
    told: list[Progress] = []
    fit_encoder(TINY, people(4, 3), rank=2, epochs=2, report=told.append)
    assert [one.done for one in told] == list(range(1, told[-1].steps + 1))


def test_the_student_is_left_as_it_was() -> None:
    before = {name: tensor.clone() for name, tensor in TINY.model.state_dict().items()}
    fit_encoder(TINY, people(4, 3), rank=2, epochs=1)
    after = TINY.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(block._forward_hooks for block in TINY.layers)


@pytest.mark.parametrize("crowd", [[], people(5, 1), people(1, 5)])
def test_too_little_to_learn_from_is_said(crowd: list[History]) -> None:
    with pytest.raises(DatasetError, match="users"):
        fit_encoder(TINY, crowd, epochs=1)
