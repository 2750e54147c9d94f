"""The last block's feed-forward part sees only what is used, and nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from selfsteer.steering import forward
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.selectors import Mask
from selfsteer.steering.thinning import thinned
from tests.steering.families import family_student
from tests.steering.students import BLOCKS, build_student, build_vector, hook_count

IDS = torch.randint(5, 30, (3, 12), generator=torch.Generator().manual_seed(0))


def last_only(ids: torch.Tensor) -> Mask:
    needed: Mask = np.zeros(tuple(ids.shape), dtype=bool)
    needed[:, -1] = True
    return needed


def seen_by_the_last(student: Student) -> list[int]:
    """Tokens that each call of the last block's feed-forward part sees from now on."""
    seen: list[int] = []
    inner = student.layers[-1].get_submodule("mlp.up_proj")
    inner.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:-1].numel()))
    return seen


@torch.inference_mode()
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt-neox", "falcon", "mixtral"])
def test_the_logits_that_are_used_are_the_same(name: str) -> None:
    student = family_student(name)
    positions = torch.arange(IDS.shape[1]).expand(len(IDS), -1)
    whole = forward.logits(student, IDS, None, positions, keep=1)
    with thinned(student, student.n_layers - 1, last_only(IDS)):
        found = forward.logits(student, IDS, None, positions, keep=1)
    assert torch.allclose(found, whole, atol=1e-5)
    assert hook_count(student) == 0


@pytest.mark.parametrize("plan", ["none", "elsewhere", "edited"])
def test_prompts_are_thinned_where_there_is_no_plan(plan: str) -> None:
    student = build_student("llama")
    vector = build_vector(student)
    plans = {
        "none": Plan.none(),
        "elsewhere": Plan.single(vector, 0, 1.0, selector="generated"),
        "edited": Plan.single(vector, BLOCKS - 1, 1.0, selector="all"),
    }
    seen = seen_by_the_last(student)
    prompt = Prompt.chat("abcabcabc")
    generate(student, [prompt], plans[plan], max_new_tokens=1)
    assert seen[0] == 1 if plan == "none" else seen[0] > 9
