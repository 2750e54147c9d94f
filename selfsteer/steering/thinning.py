"""The deepest block that is read, without what no one looks at.

Behind its attention no token needs another, so its feed-forward part may be left out for tokens
whose output is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from selfsteer.steering.model import Student
from selfsteer.steering.selectors import Mask

MOSTLY = 0.5  # of the tokens: where more are selected, picking them out costs what it spares


@contextmanager
def thinned(student: Student, layer: int, needed: Mask) -> Iterator[None]:
    """Let the feed-forward part of a block see some tokens only, and give zeros elsewhere.

    Only where the block has one by the usual name that takes the activations and nothing else.

    Args:
        needed: [B, T], the tokens at which the block's output is used.
    """
    inner = getattr(student.layers[layer], "mlp", None) if layer >= 0 else None
    needed = needed.copy()
    needed[0, 0] |= not needed.any()  # some modules cannot do with nothing
    if not isinstance(inner, nn.Module) or needed.mean() > MOSTLY:
        yield
        return
    chosen = torch.from_numpy(needed).to(student.layer_device(layer))
    shape: list[torch.Size] = []

    def thin(_module: Any, args: tuple[Any, ...]) -> Any:
        shape.clear()
        if len(args) != 1 or args[0].shape[:2] != chosen.shape:
            return None
        shape.append(args[0].shape)
        return (args[0][chosen][None],)

    def fill(_module: Any, _args: Any, output: Any) -> Any:
        if not shape:
            return output
        first, *others = (output,) if isinstance(output, Tensor) else output
        filled = first.new_zeros(shape[0])
        filled[chosen] = first[0]
        return filled if isinstance(output, Tensor) else (filled, *others)

    handles = [inner.register_forward_pre_hook(thin), inner.register_forward_hook(fill)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
