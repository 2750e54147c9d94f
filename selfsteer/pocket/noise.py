"""Noise on the residual stream while training, so that plain vectors steer the student better.

A vector that is added to a block's output is, to the blocks behind it, mostly noise: a little of it
says what was meant, the rest disturbs. A student that was trained under noise carries what it means
to say well above it and keeps its grammar when something is added, so that plain vectors of middle
blocks move it. Each token of a document gets noise of its own, at one block that is drawn for the
document, in proportion to the norm of the activation.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

SHARE = 0.8  # of documents that get any


class Noise(NamedTuple):
    """The noise of one step.

    Attributes:
        block: [B, T] the block whose output is disturbed; -1 for none.
        push: [B, T, D] what is added there, in units of the activation's root mean square.
    """

    block: Tensor
    push: Tensor


def draw_noise(
    documents: Tensor, blocks: int, width: int, greatest: float, generator: torch.Generator
) -> Noise:
    """Noise for packed rows: its strength is uniform up to `greatest` norms of the activation.

    Args:
        documents: [B, T] integers, equal for tokens of the same document.
    """
    place = documents - documents.min()
    shape = (len(place), int(place.max()) + 1)
    block = torch.randint(blocks, shape, generator=generator)
    block[torch.rand(shape, generator=generator) >= SHARE] = -1
    level = greatest * torch.rand(shape, generator=generator)
    push = torch.randn(*documents.shape, width, generator=generator)
    return Noise(block.gather(1, place), level.gather(1, place)[..., None] * push)


def take_noise(model: nn.Module) -> None:
    """Let the blocks of a model add the noise that comes to them as keyword argument `noise`."""
    blocks: Any = model.get_submodule("model.layers")
    for number, block in enumerate(blocks):
        block.register_forward_hook(partial(_disturb, number), with_kwargs=True)


def _disturb(
    number: int, _: nn.Module, __: tuple[Any, ...], kwargs: dict[str, Any], hidden: Tensor
) -> Tensor:
    noise: Noise | None = kwargs.get("noise")
    if noise is None:
        return hidden
    size = hidden.detach().square().mean(-1, keepdim=True).sqrt()
    return hidden + torch.where((noise.block == number)[..., None], noise.push * size, 0)
