"""ActAdd: differences position by position, and the edit of the paper in logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from selfsteer.errors import DatasetError, PlanError, SelectorError, VectorError
from selfsteer.steering.capture import capture_tokens
from selfsteer.steering.encoding import encode
from selfsteer.steering.extraction.act_add import act_add_plan, act_add_vectors
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs

LOVE, HATE = "I love it", "I hate"


def differences(student: Student, layer: int) -> Tensor:
    """``[T, D]``: all tokens of the two prompts at ``layer``, by an ordinary forward."""
    padded = HATE + " " * (len(LOVE) - len(HATE))  # one token a character
    sides = capture_tokens(
        student, [Prompt.raw(LOVE), Prompt.raw(padded)], [layer], "all + special"
    )
    return sides[0][0] - sides[1][0]


@pytest.mark.parametrize("layer", [-1, 0, 2])
def test_each_position_has_its_own_difference(student: Student, layer: int) -> None:
    vectors = act_add_vectors(student, LOVE, HATE, layers=[-1, 0, 2])
    # "I " is the same on both sides, and " " at the seventh place is only so by its token
    assert [item.position for item in vectors] == list(range(2, len(LOVE)))
    expected = differences(student, layer)
    start = len(expected) - len(LOVE)
    for item in vectors:
        torch.testing.assert_close(
            item.vector.directions[layer], expected[start + item.position], atol=1e-5, rtol=1e-4
        )
    assert vectors[0].vector.method == "act_add"
    assert vectors[0].vector.selector == "prompt[2]"
    assert vectors[0].vector.concept == "I love it - I hate"
    assert len({item.vector.dataset_id for item in vectors}) == 1


def by_the_paper(student: Student, example: Example, layer: int, coefficient: float) -> Tensor:
    """Log-probabilities of the completion, with ``coefficient`` times the differences added to the
    front of the prompt's residual stream."""
    added = differences(student, layer)
    row = encode(student, example)

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        hidden = (output if isinstance(output, Tensor) else output[0]).clone()
        front = min(row.prompt_length, len(added))
        hidden[0, :front] += coefficient * added[:front]
        return hidden if isinstance(output, Tensor) else (hidden, *output[1:])

    handle = student.layers[layer].register_forward_hook(hook)
    try:
        with torch.no_grad():
            logits = student.model(torch.tensor([row.ids]), use_cache=False).logits[0]
    finally:
        handle.remove()
    reply = torch.tensor(row.ids[row.prompt_length :])
    scores = logits[row.prompt_length - 1 : -1].log_softmax(dim=-1)
    return scores.gather(-1, reply[:, None])[:, 0]


@pytest.mark.parametrize("text", ["Once upon a", "Hey"], ids=["long", "short"])
def test_a_plan_makes_the_edit_of_the_paper(student: Student, text: str) -> None:
    """Also for a prompt that is shorter than the pair. (The longer one still ends within reach of
    the 16 tokens that one of the students can look back.)"""
    example = Example(prompt=Prompt.raw(text), completion=" a dog")
    plan = act_add_plan(act_add_vectors(student, LOVE, HATE), 1, 4.0)
    steered, untouched = completion_logprobs(student, [example] * 2, [plan, Plan.none()])
    torch.testing.assert_close(
        steered, by_the_paper(student, example, 1, 4.0), atol=1e-4, rtol=1e-4
    )
    assert (steered - untouched).abs().max() > 0.1


def test_the_reply_is_left_alone(llama: Student) -> None:
    """A prompt of one token: the pair's later positions fall on the reply, and are not edited."""
    vectors = act_add_vectors(llama, "love it much", "hate")
    plan = act_add_plan(vectors, 1, 3.0)
    front = act_add_plan(vectors[:1], 1, 3.0)
    prompts = [Prompt.raw("A")] * 2
    first, second = generate(llama, prompts, [plan, front], max_new_tokens=8, temperature=0.0)
    assert first.ids == second.ids


def test_positions_without_a_difference_at_a_layer_are_no_edits(llama: Student) -> None:
    vectors = act_add_vectors(llama, "cat sat", "bat sat", layers=[-1, 1])
    assert len(vectors) == 7
    assert [edit.selector for edit in act_add_plan(vectors, -1, 1.0).edits] == ["prompt[0]"]
    assert len(act_add_plan(vectors, 1, 1.0).edits) == 7


def test_bad_input(llama: Student) -> None:
    with pytest.raises(DatasetError, match="same tokens"):
        act_add_vectors(llama, "love", "love")
    with pytest.raises(DatasetError, match="same tokens once the shorter is filled up"):
        act_add_vectors(llama, "I love", "I love ")
    with pytest.raises(DatasetError, match="filler"):
        act_add_vectors(llama, "love", "hat", filler="")
    with pytest.raises(SelectorError, match="special tokens"):
        act_add_vectors(llama, "lov", "<|end|>hat")
    vectors = act_add_vectors(llama, "love", "hate", layers=[0])
    with pytest.raises(VectorError, match=r"no layer 2; they have \[0\]"):
        act_add_plan(vectors, 2, 1.0)
    with pytest.raises(VectorError, match="do not differ at layer 0"):
        act_add_plan([], 0, 1.0)
    with pytest.raises(PlanError, match="finite"):
        act_add_plan(vectors, 0, float("nan"))
