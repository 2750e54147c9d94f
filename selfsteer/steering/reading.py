"""One forward over the blocks that are needed, and nothing behind them.

Hooks stand on the decoder blocks; after the deepest one that is asked for, the forward is cut
short, so later blocks, the final norm and the language-model head never run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from selfsteer.steering.forward import arguments
from selfsteer.steering.forwards import Forward
from selfsteer.steering.layer_hooks import on_layer
from selfsteer.steering.model import Student

# Takes a layer's place in the request, and that layer's output [B, T, D].
Sink = Callable[[int, Tensor], None]

MOSTLY = 0.5  # of the tokens: where more are selected, picking them out costs what it spares


class _DeepestReached(Exception):
    """Ends a forward after the deepest layer that is read."""


@torch.inference_mode()
def read_layers(student: Student, forward: Forward, layers: Sequence[int], sink: Sink) -> None:
    """Run the student as far as the deepest of `layers`, handing each one's output to `sink`.

    At the deepest layer only the selected tokens are right: behind its attention no token needs
    another, so its feed-forward part is left out for the rest.
    """
    if not layers:
        return
    given = arguments(student, forward.ids, forward.attention, forward.positions, forward.cache)
    with _reading(student, layers, sink), _thinned(student, max(layers), forward):
        try:
            student.model(**given)
        except _DeepestReached:
            return
    raise AssertionError("the forward did not pass the blocks")  # a bug in finding them


@contextmanager
def _thinned(student: Student, layer: int, forward: Forward) -> Iterator[None]:
    """Let the feed-forward part of a block see selected tokens only, and give zeros elsewhere.

    Only where the block has one by the usual name that takes the activations and nothing else.
    """
    inner = getattr(student.layers[layer], "mlp", None) if layer >= 0 else None
    needed = forward.needed
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


@contextmanager
def _reading(student: Student, layers: Sequence[int], sink: Sink) -> Iterator[None]:
    deepest, home = max(layers), student.device
    handles = []

    def read(layer: int, hidden: Tensor) -> Tensor:
        for place, wanted in enumerate(layers):
            if wanted == layer:
                sink(place, hidden.to(home))  # blocks may be spread over devices
        if layer == deepest:
            raise _DeepestReached
        return hidden

    try:
        for layer in sorted(set(layers)):
            handles.append(on_layer(student, layer, partial(read, layer)))
        yield
    finally:
        for handle in handles:
            handle.remove()
