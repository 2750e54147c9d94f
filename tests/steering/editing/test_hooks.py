"""Steered forwards over whole rows: exact per row, whatever the padding and the other rows do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from selfsteer.errors import PlanError, VectorError
from selfsteer.steering import forward
from selfsteer.steering.batching import Side, pad
from selfsteer.steering.editing.hooks import steering
from selfsteer.steering.editing.said import Said
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.gates import Gate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.schedules import Schedule
from selfsteer.steering.vectors import SteeringVector
from tests.steering.students import (
    BLOCKS,
    build_edits,
    build_model,
    build_student,
    build_tokenizer,
    build_vector,
    hook_count,
    mixed_plans,
    reference_edit,
    reference_logits,
)

LENGTHS = (1, 20, 9, 33, 4, 14)


def rows_of(student: Student) -> list[Encoded]:
    return [
        encode(
            student,
            Example(prompt=Prompt.chat("abc"[i % 3] * n, system="be"), completion="xy" * (i + 2)),
        )
        for i, n in enumerate(LENGTHS)
    ]


def plans_for(student: Student) -> list[Plan]:
    """One of each kind: none, all tokens, selected tokens, several layers, several edits."""
    one, two = build_vector(student), build_vector(student, seed=1)
    return [
        Plan.none(),
        Plan.single(one, 0, 1.0),
        Plan.single(two, BLOCKS - 1, -0.7, "ablate", "response[1:3] + user[-2:]"),
        Plan((Edit(one, (-1, 1), 0.5, "add", "all + special"),)),
        Plan((Edit(one, (1,), 1.0), Edit(two, (1,), 1.0, "ablate"), Edit(one, (1,), 0.3))),
        Plan((Edit(one, (1, 2), 0.5, "add", "last"), Edit(two, (2,), 2.0, "add", "system"))),
    ]


@torch.inference_mode()
def steered(
    student: Student, rows: Sequence[Encoded], plans: Sequence[Plan], side: Side
) -> list[Tensor]:
    """[T_i, V] logits of every row of one padded batch."""
    batch = pad([row.ids for row in rows], student.pad_id, side, student.device)
    width = batch.ids.shape[1]
    with steering(student, plans, rows) as edits:
        edits.on_rows(side, width)
        out = forward.logits(student, batch.ids, batch.mask, batch.positions, keep=width)
    return [out[i, batch.attention[i].bool()] for i in range(len(rows))]


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_row_is_as_if_alone(student: Student, side: Side) -> None:
    rows, plans = rows_of(student), plans_for(student)
    for found, row, plan in zip(steered(student, rows, plans, side), rows, plans, strict=True):
        expected = reference_logits(student, row, plan)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_operator_gate_and_schedule_in_one_batch(student: Student, side: Side) -> None:
    prompts = [
        Prompt.chat("abcdefg"[i % 7] * n + "xyz"[i % 3], system="be")
        for i, n in enumerate(LENGTHS * 2)
    ]
    plans = mixed_plans(student, prompts)
    rows = [
        encode(student, Example(prompt=prompts[i % len(prompts)], completion="xy" * (i % 6 + 2)))
        for i in range(len(plans))
    ]
    found = steered(student, rows, plans, side)
    for logits, row, plan in zip(found, rows, plans, strict=True):
        expected = reference_logits(student, row, plan)
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_the_reference_edits_matter(student: Student) -> None:
    """Guards the test above: a reference that changes nothing would prove nothing."""
    for row, plan in list(zip(rows_of(student), plans_for(student), strict=True))[1:]:
        moved = reference_logits(student, row, plan) - reference_logits(student, row, Plan.none())
        assert moved.abs().max() > 0.05


def test_the_mixed_plans_matter(llama: Student) -> None:
    """The same guard for every operator, gate and schedule: each plan moves some prompt's logits,
    and each gate leaves some prompt alone."""
    prompts = [Prompt.chat("abc"[i % 3] * n, system="be") for i, n in enumerate(LENGTHS)]
    rows = [encode(llama, Example(prompt=p, completion="xyz")) for p in prompts]
    bare = [reference_logits(llama, row, Plan.none()) for row in rows]
    for plan in mixed_plans(llama, prompts):
        moved = [
            float((reference_logits(llama, row, plan) - logits).abs().max())
            for row, logits in zip(rows, bare, strict=True)
        ]
        assert max(moved) > 0.05
        if all(edit.gate is not None for edit in plan.edits) and len(plan.edits) == 1:
            assert min(moved) == 0


def test_closed_gates_are_bit_equal_to_the_untouched_student(llama: Student) -> None:
    rows, vector = rows_of(llama), build_vector(llama)
    never = Gate(vector, (0,), 1.5)
    edits = [
        Edit(vector, (0, 2), 0.7, gate=never),
        Edit(vector, (1,), 0.7, "rotate", gate=never),
        Edit(vector, (1,), 0.7, "ablate", gate=never, norm_preserving=True),
    ]
    bare = steered(llama, rows, [Plan.none()] * len(rows), "left")
    for found, expected in zip(
        steered(llama, rows, [Plan(tuple(edits))] * len(rows), "left"), bare, strict=True
    ):
        assert torch.equal(found, expected)


def test_clamping_to_0_is_ablating(llama: Student) -> None:
    rows, vector = rows_of(llama), build_vector(llama)
    clamped, ablated = (
        steered(llama, rows, [Plan.single(vector, 1, s, name)] * len(rows), "left")
        for name, s in (("clamp", 0.0), ("ablate", 1.0))
    )
    for found, expected in zip(clamped, ablated, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_edits_that_contradict_each_other_at_a_token_are_refused(llama: Student) -> None:
    rows, one, two = rows_of(llama), build_vector(llama), build_vector(llama, seed=1)
    three, gate = build_vector(llama, seed=2), Gate(one, (0,), 0.5)

    def clamp(
        strength: float, vector: SteeringVector = one, name: str = "clamp", **more: Any
    ) -> Edit:
        return Edit(vector, (1, 2), strength, name, **({"selector": "all"} | more))

    def ablate(*vectors: SteeringVector, strength: float = 1.0) -> Edit:
        return Edit(vectors[0], (1,), strength, "ablate", "response", others=vectors[1:])

    contradicting = [
        (clamp(0.5), clamp(0.4)),
        (clamp(0.5), clamp(0.5, one * -2.0)),
        (clamp(0.5), Edit(one, (2,), 0.4, "clamp", "response[1:]")),
        (clamp(0.5), clamp(0.6, name="floor")),
        (clamp(0.5, name="ceiling"), clamp(0.6, name="floor")),
        (clamp(0.5, name="rotate_to"), clamp(0.6, name="rotate_to")),
        (
            clamp(0.5, name="rotate_in_plane_to", others=(two,)),
            clamp(0.6, name="rotate_in_plane_to", others=(two,)),
        ),
        (clamp(0.5, gate=gate), clamp(0.4, gate=gate)),
        (ablate(one), clamp(0.5)),
        (clamp(-0.5), ablate(one * -2.0)),
        (ablate(one), clamp(0.1, name="floor")),
        (clamp(-0.1, name="ceiling"), ablate(one)),
        (ablate(two, one), clamp(0.5)),
        (ablate(two, one), clamp(0.5, one + two)),
    ]
    for pair in contradicting:
        with (
            pytest.raises(PlanError, match="contradict each other at layer"),
            steering(llama, [Plan.none(), Plan(pair)], rows[:2]),
        ):
            pass
    compatible = [
        (clamp(0.5), clamp(0.5)),
        (clamp(0.5), clamp(-0.5, one * -2.0)),
        (clamp(0.5), clamp(0.4, two)),
        (clamp(0.5), Edit(one, (0,), 0.4, "clamp")),
        (clamp(0.5, selector="user"), clamp(0.4, selector="response")),
        (
            clamp(0.5, selector="response", schedule=Schedule("first", 2)),
            clamp(0.4, selector="response[2:]"),
        ),
        (clamp(0.5), clamp(0.4, name="floor")),
        (clamp(0.5, name="ceiling"), clamp(0.4, name="floor")),
        (clamp(0.5, gate=gate), clamp(0.4)),
        (clamp(0.5), clamp(1.0, name="rotate_to")),
        (Edit(one, (1,), 0.5), Edit(one, (1,), -0.5)),
        (ablate(one), clamp(0.0)),
        (ablate(one), clamp(-0.1, name="floor")),
        (ablate(one, strength=0.9), clamp(0.5)),
        (ablate(one), clamp(0.5, two)),
        (ablate(one, two), clamp(0.5, three)),
        (ablate(one), ablate(one, two)),
        (ablate(one), Edit(one, (1,), 0.5)),
        (ablate(one), clamp(0.5, selector="last")),
    ]
    for pair in compatible:
        with steering(llama, [Plan.none(), Plan(pair)], rows[:2]):
            pass


def test_edits_of_a_layer_act_in_order(llama: Student) -> None:
    row, vector = rows_of(llama)[1], build_vector(llama)
    add, ablate = Edit(vector, (1,), 1.0), Edit(vector, (1,), 1.0, "ablate")
    orders = [Plan((add, ablate)), Plan((ablate, add)), Plan((ablate,))]
    first, second, only = steered(llama, [row] * 3, orders, "left")
    assert (first - second).abs().max() > 0.1
    torch.testing.assert_close(first, only, atol=1e-4, rtol=0)  # what is added is taken again


@pytest.mark.parametrize("strength", [None, 0.0])
def test_no_edit_is_bit_equal_to_the_untouched_student(
    student: Student, strength: float | None
) -> None:
    rows, side = rows_of(student), "left"
    vector = build_vector(student)
    plan = Plan.none() if strength is None else Plan.single(vector, 1, strength)
    batch = pad([row.ids for row in rows], student.pad_id, "left", student.device)
    with torch.inference_mode():
        bare = student.model(
            input_ids=batch.ids, attention_mask=batch.attention, position_ids=batch.positions
        ).logits
    found = steered(student, rows, [plan] * len(rows), side)
    for i, logits in enumerate(found):
        assert torch.equal(logits, bare[i, batch.attention[i].bool()])


def test_unedited_rows_are_bit_equal_beside_edited_ones(student: Student) -> None:
    rows, plans = rows_of(student), plans_for(student)
    alone = steered(student, rows, [Plan.none()] * len(rows), "left")[0]
    assert torch.equal(steered(student, rows, plans, "left")[0], alone)


def test_only_edited_layers_have_hooks(llama: Student) -> None:
    rows = rows_of(llama)
    before = [len(block._forward_hooks) for block in llama.layers]
    with steering(llama, [Plan.single(build_vector(llama), 1, 1.0)] * len(rows), rows):
        now = [len(block._forward_hooks) for block in llama.layers]
    assert now == [before[0], before[1] + 1, before[2]]


def test_hooks_are_gone_after_an_error(llama: Student) -> None:
    rows, before = rows_of(llama), hook_count(llama)
    with (
        pytest.raises(KeyboardInterrupt),
        steering(llama, [Plan.single(build_vector(llama), 1, 1.0)] * len(rows), rows),
    ):
        assert hook_count(llama) == before + 1
        raise KeyboardInterrupt
    assert hook_count(llama) == before


def test_masks_are_built_only_where_needed(llama: Student) -> None:
    """A mask that would be all True is left out; one that would be all False skips the edit."""
    rows = [encode(llama, Prompt.chat("ab"))] * 2
    vector = build_vector(llama)

    def state(selector: str, token: int) -> tuple[bool, bool]:
        plans = [Plan.single(vector, 1, 1.0, selector=selector), Plan.none()]
        with steering(llama, plans, rows, reply_tokens=3) as edits:
            edits.on_reply(Said.nothing(2), np.full((2, 1), token))
            step = next(edits._all_steps())
            return step.on, step.mask is not None

    ordinary, special = 50, 6
    assert state("all", ordinary) == (True, False)
    assert state("response[0:2]", ordinary) == (True, False)
    assert state("prompt", ordinary)[0] is False
    assert state("all", special)[0] is False


class _TupleBlock(nn.Module):
    """A decoder block as older families have them: a tuple comes out."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *args: object, **kwargs: object) -> tuple[Tensor, str]:
        return self.block(*args, **kwargs), "something else"


class _Unpack(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.inner = _TupleBlock(block)

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        hidden, other = self.inner(*args, **kwargs)
        assert other == "something else"
        return hidden


def test_blocks_that_return_tuples() -> None:
    model = build_model("llama")
    inner = []
    for k, block in enumerate(model.model.layers):
        model.model.layers[k] = _Unpack(block)
        inner.append(model.model.layers[k].inner)
    wrapped = Student.wrap(model, build_tokenizer(), "tuples")
    wrapped.layers = inner
    bare = build_student("llama")
    rows = rows_of(bare)
    for found, expected in zip(
        steered(wrapped, rows, plans_for(wrapped), "left"),
        steered(bare, rows, plans_for(bare), "left"),
        strict=True,
    ):
        assert torch.equal(found, expected)


def test_half_precision_students(llama: Student) -> None:
    student = build_student("llama")
    student.model.to(torch.bfloat16)
    rows = rows_of(student)
    found = steered(student, rows, plans_for(student), "left")
    for half, full in zip(found, steered(llama, rows, plans_for(llama), "left"), strict=True):
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(half.float(), full, atol=0.5, rtol=0.1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_edits_of_half_precision_activations(llama: Student, dtype: torch.dtype) -> None:
    """Only the result is rounded: each edit is as near to its formula as the type can say."""
    student = build_student("llama")
    student.model.to(dtype)
    row = rows_of(student)[1]
    gate = Gate(build_vector(student, seed=7), (0,), -1.0, signed=True)
    for edit in build_edits(student, 1):
        edit = replace(edit, schedule=Schedule("linear", 5), gate=gate)
        seen: list[Tensor] = []

        def watch(_m: object, _a: object, output: Tensor, seen: list[Tensor] = seen) -> None:
            seen.append(output[0].clone())

        with student.layers[1].register_forward_hook(watch):
            steered(student, [row], [Plan.none()], "left")
        with steering(student, [Plan((edit,))], [row]) as edits:
            edits.on_rows("left", len(row.ids))
            with student.layers[1].register_forward_hook(watch), torch.inference_mode():
                student.model(torch.tensor([row.ids]))
        before, after = seen
        at = row.special.index(False)  # a prompt token: the schedule leaves all of the strength
        expected = reference_edit(edit, 1, before[at].double())
        assert not torch.equal(after[at], before[at]) or edit.operator in ("floor", "ceiling")
        assert after.dtype == dtype
        unit = torch.finfo(dtype).eps * float(before[at].double().norm() + expected.norm())
        torch.testing.assert_close(after[at].double(), expected.double(), atol=unit, rtol=0)


def test_a_direction_of_zero_is_refused(llama: Student) -> None:
    vector = build_vector(llama) * 0.0
    rows = rows_of(llama)[:1]
    with (
        pytest.raises(VectorError, match="gives no direction"),
        steering(llama, [Plan.single(vector, 1, 1.0)], rows),
    ):
        pass


def test_real_models(real_student: Student) -> None:
    prompts = ["Once upon a time there was a big dog", "The sun", "Tom and Lily like to play"]
    rows = [encode(real_student, Prompt.raw(text)) for text in prompts]
    vector = build_vector(real_student)
    plans = [
        Plan.single(vector, 2, 0.5),
        Plan.single(vector, 4, 1.0, "ablate"),
        Plan.single(vector, -1, 0.2, selector="prompt[1:]"),
    ]
    for found, row, plan in zip(
        steered(real_student, rows, plans, "left"), rows, plans, strict=True
    ):
        expected = reference_logits(real_student, row, plan)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
