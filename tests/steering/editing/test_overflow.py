"""Strengths beyond what activations can hold: refused, told of, and kept to their own tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from selfsteer.errors import PlanError, SelfsteerError, StudentError
from selfsteer.steering import forward
from selfsteer.steering.batching import pad
from selfsteer.steering.editing.hooks import steering
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.evaluate import sample
from selfsteer.steering.gates import Gate
from selfsteer.steering.generate import generate
from selfsteer.steering.generate_hf import steered_generate_hf
from selfsteer.steering.grammar import Grammar
from selfsteer.steering.model import Student
from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.schedules import Schedule
from selfsteer.steering.scoring import completion_logprobs, option_logprobs
from tests.steering.students import build_edits, build_student, build_vector

PROMPTS = [Prompt.chat("ab" * n, system="be") for n in (1, 9, 4)]
OVERDOSE = 1e7  # times any projection here: far beyond what float16 can hold


@pytest.fixture(scope="module")
def half() -> Student:
    student = build_student("llama")
    student.model.to(torch.float16)
    # Replies as long as the limit, so that the edits of all tests are reached.
    student.model.generation_config.eos_token_id = None
    return student


@torch.inference_mode()
def steered(student: Student, rows: Sequence[Encoded], plan: Plan) -> list[Tensor]:
    """[T_i, V] logits of every row of one padded batch."""
    batch = pad([row.ids for row in rows], student.pad_id, "left", student.device)
    width = batch.ids.shape[1]
    with steering(student, [plan] * len(rows), rows) as edits:
        edits.on_rows("left", width)
        out = forward.logits(student, batch.ids, batch.mask, batch.positions, keep=width)
    return [out[i, batch.attention[i].bool()] for i in range(len(rows))]


def output_of(student: Student, layer: int, row: Encoded, plan: Plan) -> Tensor:
    """[T, D]: what a block hands on under a plan, read behind the edits."""
    seen: list[Tensor] = []
    with steering(student, [plan], [row]) as edits, torch.inference_mode():
        edits.on_rows("left", len(row.ids))
        block = student.layers[layer]
        with block.register_forward_hook(lambda _m, _a, out: seen.append(out[0].clone())):
            student.model(torch.tensor([row.ids]))
    return seen[0]


def overdoses(student: Student) -> list[Edit]:
    """Edits whose change is infinite in float16, one of each kind of operator that can be."""
    one, two = (build_vector(student, seed=seed, norm=1e9) for seed in range(2))
    return [
        Edit(one, (1,), OVERDOSE, "ablate"),
        Edit(one, (1,), OVERDOSE, "ablate", others=(two,)),
        Edit(one, (1,), 1.0, "clamp"),
        Edit(one, (1,), 1.0, "floor"),
        Edit(one, (1,), -1.0, "ceiling", schedule=Schedule("first", 2)),
        Edit(one, (1,), 1.0, "clamp", norm_preserving=True),
    ]


def test_a_closed_gate_holds_back_what_would_overflow(half: Student) -> None:
    rows = [encode(half, Example(prompt=p, completion="xyz")) for p in PROMPTS]
    never = Gate(build_vector(half), (0,), 1.5)
    bare = steered(half, rows, Plan.none())
    for edit in overdoses(half):
        assert steered(half, rows, Plan((edit,)))[1].isnan().any()  # it would
        for found, expected in zip(
            steered(half, rows, Plan((replace(edit, gate=never),))), bare, strict=True
        ):
            assert torch.equal(found, expected)


def test_tokens_that_are_not_selected_see_nothing_of_an_overflow(half: Student) -> None:
    """At the layer itself: attention behind it mixes 0 times NaN into the tokens before."""
    row = encode(half, Example(prompt=PROMPTS[1], completion="xyz"))
    bare = output_of(half, 1, row, Plan.none())
    for edit in overdoses(half):
        found = output_of(half, 1, row, Plan((replace(edit, selector="response[1:]"),)))
        before = row.prompt_length + 1
        assert torch.equal(found[:before], bare[:before])
        assert not found[before:].isfinite().all()


@pytest.mark.parametrize("strength", [1e19, 1e30, 1e38, 1e300, -1e300])
def test_strengths_that_no_norm_can_measure_are_refused(llama: Student, strength: float) -> None:
    row = encode(llama, PROMPTS[0])
    for edit in build_edits(llama, 1):
        if math.isinf(OPERATORS[edit.operator].limits[1]):
            plan = Plan((replace(edit, strength=strength),))
            with (
                pytest.raises(PlanError, match=r"at layer 1 moves activations further than 1e\+18"),
                steering(llama, [plan], [row]),
            ):
                pass


def test_what_can_be_measured_is_carried_out(llama: Student) -> None:
    """The limit is where activations stop being finite, not where they stop being sensible."""
    row = encode(llama, PROMPTS[1])
    (found,) = steered(llama, [row], Plan.single(build_vector(llama), 1, 1e15))
    assert found.isfinite().all()
    assert not torch.equal(found, steered(llama, [row], Plan.none())[0])


def test_a_constant_must_fit_into_the_type(half: Student) -> None:
    vector = build_vector(half)
    row = encode(half, PROMPTS[0])
    for edit in (
        Edit(vector, (1,), 1e6),
        Edit(vector, (1,), 1e6, "swap", others=(build_vector(half, 1),)),
    ):
        with (
            pytest.raises(PlanError, match="beyond 65504, the largest of float16"),
            steering(half, [Plan((edit,))], [row]),
        ):
            pass
    wide = build_student("llama")
    wide.model.to(torch.bfloat16)
    with steering(wide, [Plan.single(build_vector(wide), 1, 1e6)], [row]):
        pass


def late(student: Student) -> Plan:
    """Overflows where the third token of a reply is read."""
    return Plan.single(build_vector(student), 1, OVERDOSE, "ablate", "response[2:]")


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("grammar", [None, Grammar.regex("[a-z]+")])
def test_a_reply_that_overflows_is_refused_by_name(
    half: Student, temperature: float, grammar: Grammar | None
) -> None:
    plans = [Plan.none(), late(half), Plan.none()]
    with pytest.raises(PlanError, match=r"activations of row 1 leave the range of float16") as told:
        generate(half, PROMPTS, plans, max_new_tokens=6, temperature=temperature, grammar=grammar)
    assert plans[1].edits[0].vector.id in str(told.value)


@pytest.mark.parametrize("watch", [(), (20,)])
def test_or_ends_there_and_leaves_the_others_alone(half: Student, watch: tuple[int, ...]) -> None:
    bare = generate(half, PROMPTS, max_new_tokens=6, temperature=0, watch=watch)
    plans = [Plan.none(), late(half), Plan.none()]
    found = generate(
        half, PROMPTS, plans, max_new_tokens=6, temperature=0, watch=watch, overflow="end"
    )
    assert [found[0], found[2]] == [bare[0], bare[2]]
    assert len(bare[1].ids) == 6
    assert found[1].ids == bare[1].ids[:3]
    assert not found[1].finished
    assert len(found[1].logprobs) == len(found[1].watched) == (3 if watch else 0)


def test_in_a_search_it_is_one_bad_candidate_among_others(half: Student) -> None:
    found = sample(half, [late(half), Plan.none()], PROMPTS, max_new_tokens=6, temperature=0)
    assert {len(reply.ids) for reply in found.replies[0]} == {3}
    assert {len(reply.ids) for reply in found.replies[1]} == {6}


def test_broken_weights_are_the_students_fault() -> None:
    student = build_student("llama")
    student.model.lm_head.weight.data[40] = torch.inf
    calls = (
        lambda: generate(student, PROMPTS, max_new_tokens=2, overflow="end"),
        lambda: steered_generate_hf(student, PROMPTS, max_new_tokens=2, do_sample=False),
        lambda: completion_logprobs(student, [Example(prompt=PROMPTS[0], completion="x")]),
        lambda: option_logprobs(student, PROMPTS, ["yes", "no"]),
    )
    for call in calls:
        with pytest.raises(StudentError, match="not finite for row 0, without any steering"):
            call()


def test_every_way_to_use_a_plan_tells_of_an_overflow(half: Student) -> None:
    plan, options = late(half), {"max_new_tokens": 6, "suppress_tokens": [2, 6]}
    examples = [Example(prompt=p, completion="abcdef") for p in PROMPTS]
    plans = [Plan.none(), Plan.none(), plan]
    calls = (
        lambda: steered_generate_hf(half, PROMPTS, plans, do_sample=False, **options),
        lambda: steered_generate_hf(half, PROMPTS, plans, do_sample=True, **options),
        lambda: steered_generate_hf(half, PROMPTS, plans, do_sample=False, num_beams=3, **options),
        lambda: completion_logprobs(half, examples, plans),
        lambda: option_logprobs(half, PROMPTS, ["abcdef", "x"], plans),
    )
    for call in calls:
        with pytest.raises(SelfsteerError, match="of row 2 leave the range of float16"):
            call()
