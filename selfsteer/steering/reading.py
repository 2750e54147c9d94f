"""One forward over the blocks that are needed, and nothing behind them.

Hooks stand on the decoder blocks; after the deepest one that is asked for, the forward is cut
short, so later blocks, the final norm and the language-model head never run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from selfsteer.steering.forward import arguments
from selfsteer.steering.forwards import Forward
from selfsteer.steering.layer_hooks import on_layer
from selfsteer.steering.model import Student
from selfsteer.steering.thinning import thinned

# Takes a layer's place in the request, and that layer's output [B, T, D].
Sink = Callable[[int, Tensor], None]


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
    with _reading(student, layers, sink), thinned(student, max(layers), forward.needed):
        try:
            student.model(**given)
        except _DeepestReached:
            return
    raise AssertionError("the forward did not pass the blocks")  # a bug in finding them


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
