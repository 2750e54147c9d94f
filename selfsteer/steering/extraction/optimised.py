"""A vector found by gradient descent: it makes given completions likely, others unlikely.

One direction is added at one layer, and its numbers are optimised through the frozen student while
its length stays within a bound. Source: Dunefsky and Cohan, "One-shot optimized steering vectors"
(2025): promotion maximises log p of a completion's tokens, suppression log (1 - p).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfsteer.errors import DatasetError, PlanError, SelectorError, VectorError
from selfsteer.steering import forward
from selfsteer.steering.batching import Batch, buckets, pad
from selfsteer.steering.capture import capture
from selfsteer.steering.encoding import Encoded, encode_all
from selfsteer.steering.layer_hooks import on_layer
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example
from selfsteer.steering.selectors import Selector, parse
from selfsteer.steering.vectors import SteeringVector

# Adam moves every coordinate by about its rate: this many steps in one direction reach the bound.
_STEPS_TO_BOUND = 10


def optimise_vector(
    student: Student,
    promote: Sequence[Example | Encoded],
    suppress: Sequence[Example | Encoded] = (),
    *,
    layer: int,
    concept: str,
    selector: str = "all",
    bound: float = 1.0,
    steps: int = 40,
    token_budget: int = 4096,
    weights: Sequence[float] | None = None,
) -> SteeringVector:
    """The vector at one layer that best promotes and suppresses completions, within a bound.

    The loss is the mean over all completion tokens of -log p (promoted) and -log (1 - p)
    (suppressed). Steering with `add` at the strength in ``notes["strength"]`` and the same selector
    is what was optimised.

    Args:
        promote, suppress: prompts with completions, or rows that are encoded already; one of the
            two may be empty.
        layer: where the vector is added; -1 for the embedding output.
        concept: what the vector is to be called.
        selector: the tokens that it is added to.
        bound: greatest length, in residual norms of the layer.
        steps: of gradient descent (Adam).
        token_budget: tokens per forward, pads included.
        weights: what each token of an example counts, promoted ones first; None for all alike.

    Raises:
        DatasetError: no examples, one without a completion, or weights that are not one positive
            number for each.
        PlanError: a bound or a number of steps that is not positive and finite.
        SelectorError: the selector matches no token of an example.
        StudentError: the layer does not exist.
        VectorError: nothing that the vector does changes the loss.
    """
    if not 0 < bound < math.inf or steps < 1:
        raise PlanError(f"bound is {bound} and steps is {steps}; both must be above 0 and finite.")
    student.check_layer(layer)
    examples = [*promote, *suppress]
    counts = [1.0] * len(examples) if weights is None else list(weights)
    if len(counts) != len(examples) or not all(0 < weight < math.inf for weight in counts):
        raise DatasetError("Weights are one positive number for each example, or none at all.")
    batches = _batches(student, promote, suppress, parse(selector), token_budget, counts)
    norm = float(capture(student, examples, [layer], selector).norms.mean())
    unit = torch.zeros(student.d_model, device=student.device, requires_grad=True)
    rate = bound / (_STEPS_TO_BOUND * math.sqrt(student.d_model))
    descent = torch.optim.Adam([unit], lr=rate)
    losses = []
    for _ in range(steps):
        descent.zero_grad()
        losses.append(_accumulate(student, layer, batches, unit, norm))
        descent.step()
        with torch.no_grad():
            unit *= min(1.0, bound / max(float(unit.norm()), 1e-12))
    if not unit.any():
        raise VectorError(
            f"Nothing that is added at layer {layer} to the tokens of {selector!r} changes how "
            "likely the completions are; select tokens before those that are to be said."
        )
    with torch.no_grad():
        losses.append(sum(float(_loss(student, layer, b, unit, norm)) for b in batches))
    return SteeringVector(
        directions={layer: norm * unit.detach().cpu()},
        residual_norms={layer: norm},
        method="optimised",
        selector=selector,
        concept=concept,
        dataset_id=_digest(promote, suppress),
        student_fingerprint=student.fingerprint,
        notes={
            "strength": float(unit.detach().norm()),
            "bound": bound,
            "steps": steps,
            "loss_before": losses[0],
            "loss_after": losses[-1],
        },
    )


@dataclass(frozen=True)
class _Work:
    """One batch, padded on the left.

    Attributes:
        steered: [B, T, 1], 1 at the tokens that the vector is added to.
        promoted, suppressed: [B, K], what each of the last K tokens adds to the loss, as a share.
    """

    batch: Batch
    steered: Tensor
    promoted: Tensor
    suppressed: Tensor


def _batches(
    student: Student,
    promote: Sequence[Example | Encoded],
    suppress: Sequence[Example | Encoded],
    selector: Selector,
    token_budget: int,
    weights: Sequence[float],
) -> list[_Work]:
    rows = encode_all(student, (*promote, *suppress))
    replies = [len(row.ids) - row.prompt_length for row in rows]
    if not rows:
        raise DatasetError("There is nothing to promote or to suppress; give completions.")
    if 0 in replies:
        raise DatasetError(f"Example {replies.index(0)} has no completion to promote or suppress.")
    masks = [selector.mask(row) for row in rows]
    for number, mask in enumerate(masks):
        if not mask.any():
            raise SelectorError(f"Selector '{selector}' matches no token of example {number}.")
    total = sum(weight * reply for weight, reply in zip(weights, replies, strict=True))
    shares = [weight / total for weight in weights]
    lengths = [len(row.ids) for row in rows]
    apart = [student.rotation(length) for length in lengths]
    batches = buckets(lengths, token_budget, one_length=student.recurrent, apart=apart)
    return [_work(student, rows, masks, chosen, len(promote), shares) for chosen in batches]


def _work(
    student: Student,
    rows: Sequence[Encoded],
    masks: Sequence[np.ndarray[Any, Any]],
    chosen: Sequence[int],
    promoted: int,
    shares: Sequence[float],
) -> _Work:
    batch = pad([rows[i].ids for i in chosen], student.pad_id, "left", student.device)
    width = batch.ids.shape[1]
    replies = [len(rows[i].ids) - rows[i].prompt_length for i in chosen]
    steered = torch.zeros(len(chosen), width, 1)
    weights = torch.zeros(2, len(chosen), max(replies))
    for place, (i, reply) in enumerate(zip(chosen, replies, strict=True)):
        steered[place, width - len(rows[i].ids) :, 0] = torch.from_numpy(masks[i])
        weights[int(i >= promoted), place, -reply:] = shares[i]
    on = student.device
    return _Work(batch, steered.to(on), weights[0].to(on), weights[1].to(on))


def _accumulate(
    student: Student, layer: int, batches: Sequence[_Work], unit: Tensor, norm: float
) -> float:
    """The loss over all batches; its gradient is added to the vector's."""
    total = 0.0
    for work in batches:
        loss = _loss(student, layer, work, unit, norm)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


def _loss(student: Student, layer: int, work: _Work, unit: Tensor, norm: float) -> Tensor:
    kept = work.promoted.shape[1]
    with _added(student, layer, work.steered * (norm * unit)):
        batch = work.batch
        logits = forward.logits(student, batch.ids, batch.mask, batch.positions, keep=kept + 1)
    logprobs = torch.log_softmax(logits[:, :-1].float(), dim=-1)
    found = logprobs.gather(-1, batch.ids[:, -kept:, None]).squeeze(-1)
    # log (1 - p) without loss of digits where p is small, and finite where p is 1.
    absent = torch.log(-torch.expm1(found.clamp(max=-1e-6)))
    return -(work.promoted * found + work.suppressed * absent).sum()


@contextmanager
def _added(student: Student, layer: int, delta: Tensor) -> Iterator[None]:
    """Add [B, T, D] to the output of a layer during the forwards inside."""
    handle = on_layer(student, layer, lambda hidden: hidden + delta.to(hidden))
    try:
        yield
    finally:
        handle.remove()


def _digest(promote: Sequence[Example | Encoded], suppress: Sequence[Example | Encoded]) -> str:
    """First 16 hex digits of the sha256 over the examples of both sides, in order."""
    digest = hashlib.sha256()
    for side in (promote, suppress):
        for example in side:
            told = str(example.ids) if isinstance(example, Encoded) else example.model_dump_json()
            digest.update(told.encode() + b"\n")
        digest.update(b"\n")
    return digest.hexdigest()[:16]
