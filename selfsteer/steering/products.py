"""Faster products of a few rows with a student's weights, for as long as a call lasts.

torch gives float32 products on x86 to MKL, which on some processors does not divide those with few
rows among threads. oneDNN, which torch brings along too, does (decision 17).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from selfsteer.steering.model import Student

# With fewer weights, calling oneDNN costs more than it gains. With more rows it gains little, and
# for each number of rows it keeps half a mebibyte of code.
_WEIGHTS, _ROWS = 2**18, 64


@contextmanager
def fast_products(student: Student) -> Iterator[None]:
    """Let a student's large float32 linear layers on a CPU multiply few rows by oneDNN.

    Results differ from torch's own in rounding. What is not plain stays as it is: quantised and
    wrapped layers, forwards that somebody replaced, other types and devices, and whatever
    gradients are asked of.
    """
    replaced: list[nn.Module] = []
    if _is_offered():
        for module in student.model.modules():
            weight = _weight(module)
            if weight is not None:
                module.forward = _by_onednn(module, weight)
                replaced.append(module)
    try:
        yield
    finally:
        for module in replaced:
            del module.forward


def _is_offered() -> bool:
    return (
        bool(torch.backends.mkldnn.enabled)
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and not torch.is_autocast_enabled("cpu")
    )


def _weight(module: nn.Module) -> Tensor | None:
    """The weights [out, in] of a plain, large linear layer; None for anything else."""
    if type(module) not in (nn.Linear, Conv1D) or "forward" in vars(module):
        return None
    weight = cast(nn.Parameter, module.weight)
    plain = type(weight) is nn.Parameter and weight.is_contiguous()
    usual = weight.dtype is torch.float32 and weight.device.type == "cpu"
    if not (plain and usual and weight.numel() >= _WEIGHTS):
        return None
    return weight if type(module) is nn.Linear else weight.t()


def _by_onednn(module: nn.Module, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """The layer's forward, from [..., in] to [..., out]."""
    ordinary, multiply = module.forward, torch.ops.mkldnn._linear_pointwise
    bias, most = module.bias, _ROWS * weight.shape[1]

    def forward(states: Tensor) -> Tensor:
        few = 0 < states.numel() <= most and states.dtype is torch.float32
        if not few or torch.is_grad_enabled():
            plain: Tensor = ordinary(states)
            return plain
        out: Tensor = multiply(states, weight, bias, "none", [], "")
        return out

    return forward
