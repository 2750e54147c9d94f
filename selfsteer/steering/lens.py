"""The logit lens: which tokens an activation, or a push on one, speaks for.

Source: nostalgebraist, "interpreting GPT: the logit lens" (2020): what the student would say next
if the blocks behind a layer did nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering import forward
from selfsteer.steering.layer_hooks import on_layer
from selfsteer.steering.model import Student


@dataclass(frozen=True)
class Said:
    """A token and how much it gains.

    Attributes:
        nats: change of its log-probability; below 0 for a token that loses.
    """

    token: str
    nats: float


def unembed(student: Student, states: Tensor) -> Tensor:
    """[N, V] float32 logits of activations [N, D] that leave the last block.

    The student's own last steps are run on them (final norm, head, what else it has), whatever
    they are called.
    """
    count = len(states)
    ids = torch.full((1, count), student.pad_id, device=student.device)
    positions = torch.zeros_like(ids)
    put = states.to(student.layer_device(student.n_layers - 1), student.dtype)[None]
    handle = on_layer(student, student.n_layers - 1, lambda hidden: put)
    try:
        with torch.inference_mode():
            return forward.logits(student, ids, None, positions, keep=count)[0].float().cpu()
    finally:
        handle.remove()


def logit_lens(
    student: Student, around: Tensor, push: Tensor, *, top: int = 8
) -> tuple[list[Said], list[Said]]:
    """The tokens that gain and that lose most when ``push`` is added to an activation.

    Args:
        around: [D], a typical activation: the final norm makes it matter what is pushed.
        push: [D].
        top: how many of each.

    Raises:
        VectorError: shapes that are not the student's width.
    """
    if around.shape != (student.d_model,) or push.shape != (student.d_model,):
        raise VectorError(
            f"A lens needs activations of width {student.d_model}, not {tuple(push.shape)}."
        )
    logits = unembed(student, torch.stack([around, around + push]).float())
    before, after = torch.log_softmax(logits, dim=-1)
    change = after - before
    order = change.argsort(descending=True).tolist()
    order = [index for index in order if index not in student.special_ids]
    told = [Said(student.tokenizer.decode([i]), float(change[i])) for i in order]
    return told[:top], told[::-1][:top]
