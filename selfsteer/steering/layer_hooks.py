"""Standing behind a layer: one way to see and to change its output, for all who do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from selfsteer.steering.model import Student

Edit = Callable[[Tensor], Tensor]
"""Takes a layer's output [B, T, D] and returns what goes on from there."""


def on_layer(student: Student, layer: int, edit: Edit) -> Any:
    """Put a hook on a layer, -1 for the embedding output; returns its handle."""
    if layer == -1:
        return student.layers[0].register_forward_pre_hook(_before(edit), with_kwargs=True)
    return student.layers[layer].register_forward_hook(_after(edit))


def _after(edit: Edit) -> Callable[[Any, Any, Any], Any]:
    def hook(_module: Any, _args: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return edit(output)
        return (edit(output[0]), *output[1:])

    return hook


def _before(edit: Edit) -> Callable[[Any, Any, Any], Any]:
    """The embedding output is what goes into the first block."""

    def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (edit(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": edit(kwargs["hidden_states"])}

    return hook
