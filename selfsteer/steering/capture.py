"""Activations of many texts: means, single tokens, or moments, at any layers.

Rows are read in batches of similar length, padded on the right: with causal attention no token
sees a later pad, so no padding mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from selfsteer.errors import SelectorError
from selfsteer.steering.batching import buckets, pad, reading_budget
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.reading import read_layers
from selfsteer.steering.selectors import Mask, Selector, parse

Item = Prompt | Example | Encoded
Reduce = Literal["mean", "last"]
# From a layer's output [B, T, D]: one value [B, D] for each row, and its mean norm [B].
Reduced = Callable[[Tensor], tuple[Tensor, Tensor]]
_SHOWN = 80  # characters of a text in a message


@dataclass(frozen=True)
class Activations:
    """One value per layer and text.

    Attributes:
        layers: layer numbers, in the order asked for.
        values: [L, N, D] float32, on the student's device.
        norms: [L, N] float32, mean Euclidean norm of each text's selected tokens.
    """

    layers: tuple[int, ...]
    values: Tensor
    norms: Tensor


@dataclass(frozen=True)
class Moments:
    """Running moments over all selected tokens of all texts.

    Attributes:
        layers: layer numbers, in the order asked for.
        n: number of tokens.
        mean: [L, D] float32.
        second: [L, D, D] float32, the uncentred second moment E[x x^T]; None unless asked for.
        norm: [L] float32, mean Euclidean norm.
    """

    layers: tuple[int, ...]
    n: int
    mean: Tensor
    second: Tensor | None
    norm: Tensor


def capture(
    student: Student,
    examples: Sequence[Item],
    layers: Sequence[int] | None = None,
    selector: str | Selector = "response",
    reduce: Reduce = "mean",
    token_budget: int | None = None,
) -> Activations:
    """One activation per layer and text: the mean over the selected tokens, or the last of them.

    Args:
        layers: layer numbers, -1 for the embedding output; None for all blocks.
        token_budget: tokens per forward, pads included; None for what suits the device.

    Raises:
        SelectorError: when a text has no selected token (a bare prompt has no response).
        StudentError: when a layer does not exist.
    """
    rows = _encode(student, examples)
    masks = _masks(student, rows, parse(selector))
    layers = _layers(student, layers)
    shape = (len(layers), len(rows))
    values = torch.empty(*shape, student.d_model, device=student.device)
    norms = torch.empty(*shape, device=student.device)
    for batch, ids in _batches(student, rows, token_budget):
        reducer = _last if reduce == "last" else _mean
        reduced = reducer([masks[i] for i in batch], ids)
        index = torch.tensor(batch, device=student.device)

        def keep(
            place: int, hidden: Tensor, reduced: Reduced = reduced, index: Tensor = index
        ) -> None:
            values[place, index], norms[place, index] = reduced(hidden)

        read_layers(student, ids, layers, keep)
    return Activations(layers, values, norms)


def capture_tokens(
    student: Student,
    examples: Sequence[Item],
    layers: Sequence[int] | None = None,
    selector: str | Selector = "all",
    token_budget: int | None = None,
) -> list[Tensor]:
    """Every selected token's activation: for each text a float32 tensor [L, T_i, D].

    Raises:
        SelectorError: when a text has no selected token.
        StudentError: when a layer does not exist.
    """
    rows = _encode(student, examples)
    masks = _masks(student, rows, parse(selector))
    layers = _layers(student, layers)
    device = student.device
    out = [torch.empty(len(layers), int(m.sum()), student.d_model, device=device) for m in masks]
    for batch, ids in _batches(student, rows, token_budget):
        places = [torch.from_numpy(np.flatnonzero(masks[i])).to(device) for i in batch]

        def keep(
            place: int,
            hidden: Tensor,
            batch: list[int] = batch,
            places: list[Tensor] = places,
        ) -> None:
            for row, (i, positions) in enumerate(zip(batch, places, strict=True)):
                out[i][place] = hidden[row, positions]

        read_layers(student, ids, layers, keep)
    return out


def capture_moments(
    student: Student,
    examples: Sequence[Item],
    layers: Sequence[int] | None = None,
    selector: str | Selector = "all",
    second: bool = False,
    token_budget: int | None = None,
) -> Moments:
    """Moments over all selected tokens, in memory that does not grow with the texts.

    Sums are kept in float64, so that many tokens lose no digits.

    Args:
        second: also gather E[x x^T], which takes d_model squared values a layer.

    Raises:
        SelectorError: when a text has no selected token.
        StudentError: when a layer does not exist.
    """
    rows = _encode(student, examples)
    masks = _masks(student, rows, parse(selector))
    layers = _layers(student, layers)
    wide: dict[str, Any] = {"dtype": torch.float64, "device": student.device}
    total = torch.zeros(len(layers), student.d_model, **wide)
    norm = torch.zeros(len(layers), **wide)
    square = torch.zeros(*total.shape, student.d_model, **wide) if second else None
    for batch, ids in _batches(student, rows, token_budget):
        chosen = _stack([masks[i] for i in batch], ids)

        def keep(place: int, hidden: Tensor, chosen: Tensor = chosen) -> None:
            tokens = hidden[chosen].float()
            total[place] += tokens.sum(0, dtype=torch.float64)
            norm[place] += tokens.norm(dim=-1).sum(dtype=torch.float64)
            if square is not None:
                square[place] += tokens.T @ tokens

        read_layers(student, ids, layers, keep)
    n = int(sum(m.sum() for m in masks))
    mean_square = None if square is None else (square / n).float()
    return Moments(layers, n, (total / n).float(), mean_square, (norm / n).float())


def _encode(student: Student, examples: Sequence[Item]) -> list[Encoded]:
    return [e if isinstance(e, Encoded) else encode(student, e) for e in examples]


def _layers(student: Student, layers: Sequence[int] | None) -> tuple[int, ...]:
    chosen = tuple(range(student.n_layers) if layers is None else layers)
    for layer in chosen:
        student.check_layer(layer)
    return chosen


def _masks(
    student: Student, rows: Sequence[Encoded], selector: Selector
) -> list[np.ndarray[Any, Any]]:
    masks = [selector.mask(row) for row in rows]
    for number, mask in enumerate(masks):
        if not mask.any():
            text = str(student.tokenizer.decode(rows[number].ids))
            shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"
            raise SelectorError(
                f"Selector '{selector}' matches no token of text {number}, {shown!r}; a bare "
                "prompt has no response, positions end with the text, and special tokens match "
                "only where they are named."
            )
    return masks


def _mean(masks: Sequence[Mask], ids: Tensor) -> Reduced:
    share = _stack([mask / np.float32(mask.sum()) for mask in masks], ids)

    def reduced(hidden: Tensor) -> tuple[Tensor, Tensor]:
        hidden = hidden.float()
        return torch.einsum("bt,btd->bd", share, hidden), (share * hidden.norm(dim=-1)).sum(-1)

    return reduced


def _last(masks: Sequence[Mask], ids: Tensor) -> Reduced:
    rows = torch.arange(len(masks), device=ids.device)
    ends = torch.tensor([int(np.flatnonzero(mask)[-1]) for mask in masks], device=ids.device)

    def reduced(hidden: Tensor) -> tuple[Tensor, Tensor]:
        picked = hidden[rows, ends].float()
        return picked, picked.norm(dim=-1)

    return reduced


def _stack(rows: Sequence[np.ndarray[Any, Any]], ids: Tensor) -> Tensor:
    """Per-token values of a batch as [B, T], zero at the pads on the right."""
    out = np.zeros(tuple(ids.shape), dtype=rows[0].dtype)
    for target, row in zip(out, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(out).to(ids.device)


def _batches(
    student: Student, rows: Sequence[Encoded], token_budget: int | None
) -> Iterator[tuple[list[int], Tensor]]:
    """Row numbers and their right-padded token ids."""
    budget = token_budget or reading_budget(student.device)
    for batch in buckets([len(row.ids) for row in rows], budget):
        padded = pad([rows[i].ids for i in batch], student.pad_id, "right", student.device)
        yield batch, padded.ids
