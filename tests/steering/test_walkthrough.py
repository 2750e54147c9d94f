"""The two functions of the vector-steering walkthrough (fourth seed), and the same in our words.

`find_steering_vecs` and `do_steering` are written out here as the walkthrough defines them: hidden
states, the last token, one mean for each batch; hooks before the blocks, every position changed in
place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.encoding import encode
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.generate_hf import steered_generate_hf
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs
from selfsteer.steering.vectors import SteeringVector

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


def found_by_us(student: Student) -> SteeringVector:
    """What the walkthrough finds; its hidden state k is the output of block k - 1."""
    pairs = tuple(
        ContrastivePair(
            positive=Example(prompt=Prompt.raw(t[:8])), negative=Example(prompt=Prompt.raw(b[:8]))
        )
        for t, b in zip(TARGET, BASE, strict=True)
    )
    dataset = ContrastiveDataset(concept="weddings", pairs=pairs)
    return extract_vector(student, dataset, selector="last", layers=range(-1, student.n_layers))


def steered_by_us(
    vec: SteeringVector, at: int, scale: float, normalise: bool, layer: int | None, proj: bool
) -> Plan:
    """One direction for all layers, with residual norms of 1, so that strength is a raw length."""
    layers = vec.layers[:-1] if layer is None else (layer - 1,)
    same = replace(
        vec,
        directions=dict.fromkeys(layers, vec.directions[at]),
        residual_norms=dict.fromkeys(layers, 1.0),
    )
    length = 1.0 if normalise else float(vec.directions[at].norm())
    operator, strength = ("ablate", scale * length**2) if proj else ("add", -scale * length)
    return Plan((Edit(same, layers, strength, operator, "all + special"),))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_find_steering_vecs(student: Student, size: int) -> None:
    theirs = find_steering_vecs(student, tokens(student, BASE), tokens(student, TARGET), size)
    ours = found_by_us(student)
    assert len(theirs) == student.n_layers + 1
    # Their last hidden state is behind the final norm; it is no residual stream.
    for k, direction in enumerate(theirs[:-1]):
        torch.testing.assert_close(ours.directions[k - 1], direction, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("proj", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("layer", [None, 0, 2])
def test_do_steering(student: Student, proj: bool, normalise: bool, layer: int | None) -> None:
    vec, at = found_by_us(student), 1
    scale = SCALE if normalise else SCALE / float(vec.directions[at].norm()) ** (2 if proj else 1)
    plan = steered_by_us(vec, at, scale, normalise, layer, proj)
    asked = tokens(student, ASKED)
    with do_steering(student, vec.directions[at], scale, normalise, layer, proj), torch.no_grad():
        logits = student.model(asked).logits
        replies = student.model.generate(
            asked,
            num_beams=4,
            max_new_tokens=6,
            do_sample=False,
            suppress_tokens=[2],
            pad_token_id=student.pad_id,
        )
    ours = steered_generate_hf(
        student,
        [Prompt.raw(text[:8]) for text in ASKED],
        plan,
        num_beams=4,
        max_new_tokens=6,
        do_sample=False,
        suppress_tokens=[2],
    )
    assert [reply.ids for reply in ours] == replies[:, asked.shape[1] :].tolist()
    examples = [Example(prompt=Prompt.raw(text[:4]), completion=text[4:8]) for text in ASKED]
    expected = torch.log_softmax(logits, -1)[:, -5:-1].gather(2, asked[:, -4:, None]).squeeze(2)
    found = torch.stack(completion_logprobs(student, examples, plan))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
