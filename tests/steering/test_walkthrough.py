"""The two functions of the vector-steering walkthrough (fourth seed), against those of the guide.

`find_steering_vecs` and `do_steering` are written out here as the walkthrough defines them: hidden
states, the last token, one mean for each batch; hooks before the blocks, every position changed in
place. Ours are the ones that `docs/guide/walkthrough.md` prints.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from selfsteer.steering.encoding import encode
from selfsteer.steering.generate_hf import steered_generate_hf
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs
from tests.test_guide import GUIDE, program

PAGE = GUIDE / "walkthrough.md"
BASE = ["abcdefgh", "the cat ", "one two ", "no more "]
TARGET = ["abcdxyz!", "a weddin", "two rings", "oh yes! "]
ASKED = ["tell me ", "what is?", "and then"]
SCALE = 1.7


def tokens(student: Student, texts: list[str]) -> Tensor:
    return torch.tensor([encode(student, Prompt.raw(text[:8])).ids for text in texts])


@torch.no_grad()
def find_steering_vecs(student: Student, base: Tensor, target: Tensor, size: int) -> list[Tensor]:
    """Mean over batches of the mean difference at the last token, for each hidden state."""
    means = [
        [
            (there[:, -1] - here[:, -1]).mean(0)
            for there, here in zip(
                student.model(target[i : i + size], output_hidden_states=True).hidden_states,
                student.model(base[i : i + size], output_hidden_states=True).hidden_states,
                strict=True,
            )
        ]
        for i in range(0, len(base), size)
    ]
    return [torch.stack(each).mean(0) for each in zip(*means, strict=True)]


@contextmanager
def do_steering(
    student: Student, vec: Tensor, scale: float, normalise: bool, layer: int | None, proj: bool
) -> Iterator[None]:
    """x <- x - scale * sv before each block, or before one."""

    def hook(_module: Any, args: tuple[Tensor, ...]) -> Any:
        x = args[0]
        sv = vec / vec.norm() if normalise else vec
        change = (x @ sv)[..., None] * sv if proj else sv
        return (x - scale * change, *args[1:])

    blocks = student.layers if layer is None else [student.layers[layer]]
    handles = [block.register_forward_pre_hook(hook) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def told(page: Path = PAGE) -> list[ast.stmt]:
    """The imports and the functions of the page."""
    wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    tree = ast.parse(program(page.read_text(encoding="utf-8")))
    return [part for part in tree.body if isinstance(part, wanted)]


@pytest.fixture
def ours() -> dict[str, Any]:
    """What the page defines."""
    names: dict[str, Any] = {}
    exec(compile(ast.Module(told(), []), PAGE.name, "exec"), names)
    return names


def test_each_takes_less_than_ten_lines() -> None:
    functions = {part.name: part for part in told() if isinstance(part, ast.FunctionDef)}
    assert functions.keys() == {"find_steering_vecs", "do_steering"}
    for function in functions.values():
        assert function.end_lineno is not None
        assert function.end_lineno - function.lineno + 1 < 10
        assert not any(";" in line for line in ast.unparse(function).splitlines())


@pytest.mark.parametrize("size", [1, 2, 4])
def test_find_steering_vecs(ours: dict[str, Any], student: Student, size: int) -> None:
    theirs = find_steering_vecs(student, tokens(student, BASE), tokens(student, TARGET), size)
    found = ours["find_steering_vecs"](student, *([t[:8] for t in side] for side in (BASE, TARGET)))
    assert len(theirs) == student.n_layers + 1
    # Their last hidden state is behind the final norm; it is no residual stream.
    for k, direction in enumerate(theirs[:-1]):
        torch.testing.assert_close(found.directions[k - 1], direction, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("proj", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("layer", [None, 0, 2])
def test_do_steering(
    ours: dict[str, Any], student: Student, proj: bool, normalise: bool, layer: int | None
) -> None:
    """The beams, not sampled: what is drawn turns on the last bit; and logits of given replies."""
    vec, at = ours["find_steering_vecs"](student, BASE, TARGET), 1
    scale = SCALE if normalise else SCALE / float(vec.directions[at].norm()) ** (2 if proj else 1)
    asked = tokens(student, ASKED)
    options: dict[str, Any] = {"max_new_tokens": 6, "suppress_tokens": [2], "do_sample": False}
    with do_steering(student, vec.directions[at], scale, normalise, layer, proj), torch.no_grad():
        logits = student.model(asked).logits
        theirs = student.model.generate(asked, num_beams=4, pad_token_id=student.pad_id, **options)
    plans: list[Plan] = []
    ours["steered_generate_hf"] = watched(plans)
    prompts = [Prompt.raw(text[:8]) for text in ASKED]
    found = ours["do_steering"](student, prompts, vec, at, scale, normalise, layer, proj, **options)
    assert [reply.ids for reply in found] == theirs[:, asked.shape[1] :].tolist()
    examples = [Example(prompt=Prompt.raw(text[:4]), completion=text[4:8]) for text in ASKED]
    expected = torch.log_softmax(logits, -1)[:, -5:-1].gather(2, asked[:, -4:, None]).squeeze(2)
    scores = torch.stack(completion_logprobs(student, examples, plans[0]))
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)


def watched(plans: list[Plan]) -> Callable[..., Any]:
    """`steered_generate_hf`, which leaves the plan that it was given in `plans`."""

    def run(student: Student, prompts: list[Prompt], plan: Plan, **options: Any) -> Any:
        plans.append(plan)
        return steered_generate_hf(student, prompts, plan, **options)

    return run
