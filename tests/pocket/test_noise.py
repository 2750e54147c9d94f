"""Noise while training: where it falls, how strong it is, and that the model feels it there."""

from __future__ import annotations

import pytest
import torch

from selfsteer.pocket.model import build_model, packed_hidden, use_banded_attention
from selfsteer.pocket.noise import SHARE, Noise, draw_noise, take_noise

BLOCKS, WIDTH = 6, 160
DOCUMENTS = torch.arange(400).repeat_interleave(4).view(10, 160)


def drawn(seed: int = 0, greatest: float = 0.5) -> Noise:
    draw = torch.Generator().manual_seed(seed)
    return draw_noise(DOCUMENTS, BLOCKS, WIDTH, greatest, draw)


def test_a_document_is_disturbed_at_one_block_or_not_at_all() -> None:
    blocks = drawn().block.view(400, 4)
    assert (blocks == blocks[:, :1]).all()
    places = blocks[:, 0]
    assert set(places.tolist()) == set(range(-1, BLOCKS))
    assert abs((places >= 0).float().mean() - SHARE) < 0.07


def test_strength_is_uniform_and_tokens_differ() -> None:
    push = drawn().push
    sizes = push.square().mean(-1).sqrt()
    assert sizes.max() < 0.5 * 1.2
    assert abs(sizes.mean() - 0.25) < 0.03
    assert not torch.equal(push[0, 0], push[0, 1])


def test_it_is_a_function_of_its_generator() -> None:
    assert torch.equal(drawn(1).push, drawn(1).push)
    assert not torch.equal(drawn(1).push, drawn(2).push)


@pytest.mark.parametrize("block", [-1, 0, 3, 5])
def test_noise_acts_behind_its_block_alone(block: int) -> None:
    model = build_model(50, bos=1, end=2, pad=0, seed=0)
    use_banded_attention(model)
    take_noise(model)
    outputs: list[torch.Tensor] = []
    for layer in model.model.layers:
        layer.register_forward_hook(lambda _, __, hidden: outputs.append(hidden))
    ids = torch.randint(3, 50, (1, 32), generator=torch.Generator().manual_seed(0))
    documents = torch.zeros(1, 32, dtype=torch.long)
    push = torch.randn(1, 32, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        quiet = packed_hidden(model, ids, documents)
        noise = Noise(torch.full((1, 32), block), push)
        loud = packed_hidden(model, ids, documents, noise)
    before, after = outputs[:BLOCKS], outputs[BLOCKS:]
    for number in range(BLOCKS):
        same = torch.equal(before[number], after[number])
        assert same == (block == -1 or number < block)
    assert torch.equal(quiet, loud) == (block == -1)
    if block >= 0:
        size = before[block].square().mean(-1, keepdim=True).sqrt()
        torch.testing.assert_close(after[block] - before[block], push * size, atol=1e-5, rtol=1e-4)
