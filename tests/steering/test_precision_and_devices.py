"""Half precision with float32 directions, and blocks that lie on devices of their own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from selfsteer.steering.capture import capture
from selfsteer.steering.editing.hooks import steering
from selfsteer.steering.editing.said import Said
from selfsteer.steering.encoding import encode
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Prompt
from tests.steering.families import family_student
from tests.steering.students import BLOCKS, build_student, build_tokenizer, build_vector

# Bare tensors, tuples, and a residual stream that stays float32 whatever the weights are.
KINDS = ("llama", "gpt-neo", "mamba")
HALF = (torch.bfloat16, torch.float16)


def half(name: str, dtype: torch.dtype) -> Student:
    model = copy.deepcopy(family_student(name).model).to(dtype)
    return Student.wrap(model, build_tokenizer(), name)


def output_of(student: Student, layer: int, plan: Plan) -> Tensor:
    """[T, D]: what block `layer` hands on under a plan, read behind the edits."""
    row = encode(student, Prompt.chat("abcd" * 4))
    found: list[Tensor] = []
    with steering(student, [plan], [row]) as edits, torch.inference_mode():
        edits.on_rows("left", len(row.ids))
        handle = student.layers[layer].register_forward_hook(
            lambda _m, _a, out: found.append(out[0] if isinstance(out, tuple) else out)
        )
        student.model(torch.tensor([row.ids]), use_cache=False)
        handle.remove()
    return found[0][0]


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_an_added_float32_direction_is_rounded_once(name: str, dtype: torch.dtype) -> None:
    """Against the sum in float64. Rounding strength, direction and their product to the type
    gives at most 3 u |delta|, rounding the sum u |h + delta|, for unit roundoff u = eps / 2;
    4 u for both leaves room for second-order terms."""
    student = half(name, dtype)
    vector = build_vector(student)
    assert vector.directions[1].dtype == torch.float32
    plan = Plan.single(vector, 1, 0.7, selector="all + special")
    bare, moved = (output_of(student, 1, p) for p in (Plan.none(), plan))
    assert moved.dtype == bare.dtype
    direction = vector.directions[1].double()
    delta = 0.7 * vector.residual_norms[1] * direction / direction.norm()
    expected = bare.double() + delta
    unit = torch.finfo(dtype).eps / 2
    assert ((moved.double() - expected).abs() <= 4 * unit * (delta.abs() + expected.abs())).all()
    assert (delta.norm() > 100 * unit).item()


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_an_ablated_direction_is_gone_to_the_type(name: str, dtype: torch.dtype) -> None:
    """What is left of the projection: a dot product of D terms and one difference, each rounded,
    by the usual bound (D + 4) u |h|."""
    student = half(name, dtype)
    vector = build_vector(student)
    plan = Plan.single(vector, 1, 1.0, "ablate", "all + special")
    bare, moved = (output_of(student, 1, p) for p in (Plan.none(), plan))
    direction = vector.directions[1].double()
    direction = direction / direction.norm()
    limit = (student.d_model + 4) * torch.finfo(dtype).eps / 2 * bare.double().norm(dim=-1)
    assert ((moved.double() @ direction).abs() <= limit).all()


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_half_precision_activations_come_as_float32(name: str, dtype: torch.dtype) -> None:
    """They agree with the float32 model to what that many roundings can do: each block rounds
    its stream some ten times, so the relative error stays far below 10 blocks u; 0.1 for bf16."""
    prompts = [Prompt.chat("abc" * n) for n in (2, 5)]
    layers = range(-1, BLOCKS)
    found = capture(half(name, dtype), prompts, layers, "all").values
    expected = capture(family_student(name), prompts, layers, "all").values
    assert found.dtype == torch.float32
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.max() < 10 * (BLOCKS + 1) * torch.finfo(dtype).eps / 2


def test_directions_lie_where_their_block_does() -> None:
    student = build_student("llama")
    vector = build_vector(student)
    layers = (-1, 0, 1, 2)
    plans = [Plan((Edit(vector, layers, 0.5, selector="user"),)), Plan.none()]
    rows = [encode(student, Prompt.chat(text)) for text in ("hi", "hello")]
    student.fingerprint  # noqa: B018  (is read while all weights are here)
    student.layers[1].to("meta")
    student.layers[2].to("meta")
    assert [student.layer_device(k).type for k in layers] == ["cpu", "cpu", "meta", "meta"]
    assert student.device.type == "cpu"
    with steering(student, plans, rows, reply_tokens=2) as edits:
        edits.on_rows("left", max(len(row.ids) for row in rows))
        assert devices(edits) == ["cpu", "cpu", "meta", "meta"]
        edits.select(np.array([0]))
        edits.on_reply(Said.nothing(1), np.full((1, 1), 50))
        assert devices(edits) == ["cpu", "cpu", "meta", "meta"]


def devices(edits: Any) -> list[str]:
    """Of the steps in order of layers; each step's tensors must lie together."""
    found = []
    for _, steps in sorted(edits._steps.items()):
        for step in steps:
            tensors = (step.direction, step.strength, step.constant, step.mask)
            (device,) = {t.device.type for t in tensors if t is not None}
            found.append(device)
    return found


def test_the_embedding_output_follows_the_embedding() -> None:
    """A pre-hook on the first block runs before anything moves its input to the block."""
    student = build_student("llama")
    student.layers[0].to("meta")
    assert student.layer_device(-1).type == "cpu"
    assert student.layer_device(0).type == "meta"
