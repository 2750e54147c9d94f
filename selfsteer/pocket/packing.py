"""Documents into rows of a fixed number of tokens, none of them cut unless longer than a row."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from selfsteer.pocket.segments import Document
from selfsteer.pocket.tokenizer import ROLES

IGNORED = -100


class Encoded(NamedTuple):
    """Token ids of a document; aligned with them the labels (`IGNORED` = no loss) and weights."""

    ids: list[int]
    labels: list[int]
    weights: list[float]


class Rows(NamedTuple):
    """Packed rows, each [R, T]: ids, labels aligned with them, loss weights, document numbers."""

    ids: Tensor
    labels: Tensor
    weights: Tensor
    documents: Tensor


def encode_documents(
    tokenizer: PreTrainedTokenizerFast, documents: Sequence[Document]
) -> list[Encoded]:
    """Encode documents; loss falls on the text and closing token of segments that ask for it."""
    role_ids = {role: tokenizer.convert_tokens_to_ids(token) for role, token in ROLES.items()}
    bos, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    texts = [segment.text for document in documents for segment in document]
    pieces = iter(tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False))
    encoded = []
    for document in documents:
        ids, labels, weights = [bos], [IGNORED], [0.0]
        for segment in document:
            if segment.role != "text":
                ids.append(role_ids[segment.role])
                labels.append(IGNORED)
                weights.append(0.0)
            piece = [*next(pieces).ids, end]
            ids += piece
            labels += piece if segment.loss else [IGNORED] * len(piece)
            weights += [float(segment.loss)] * len(piece)
        encoded.append(Encoded(ids, labels, weights))
    return encoded


def fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Best fit, longest first: groups of indices whose lengths sum to at most `capacity` each."""
    groups: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (free tokens, group), sorted
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        at = bisect_left(room, (lengths[index], -1))
        if at == len(room):
            groups.append([])
            free, group = capacity, len(groups) - 1
        else:
            free, group = room.pop(at)
        groups[group].append(index)
        insort(room, (free - lengths[index], group))
    return groups


def _pieces(document: Encoded, length: int) -> list[Encoded]:
    """A document in pieces of `length`; nothing before a piece's first token may predict it."""
    return [
        Encoded(
            document.ids[start : start + length],
            [IGNORED, *document.labels[start + 1 : start + length]],
            document.weights[start : start + length],
        )
        for start in range(0, len(document.ids), length)
    ]


def pack(documents: Sequence[Encoded], length: int, pad: int) -> Rows:
    """Pack documents into rows of `length` tokens; pads form a document of their own, number 0."""
    parts = [piece for document in documents for piece in _pieces(document, length)]
    groups = fit([len(part.ids) for part in parts], length)
    ids, labels, weights, numbers = [], [], [], []
    for group in groups:
        row_ids, row_labels, row_weights, row_numbers = [], [], [], []
        for number, index in enumerate(group, start=1):
            row_ids += parts[index].ids
            row_labels += parts[index].labels
            row_weights += parts[index].weights
            row_numbers += [number] * len(parts[index].ids)
        gap = length - len(row_ids)
        ids.append(row_ids + [pad] * gap)
        labels.append(row_labels + [IGNORED] * gap)
        weights.append(row_weights + [0.0] * gap)
        numbers.append(row_numbers + [0] * gap)
    return Rows(*map(torch.tensor, (ids, labels, weights, numbers)))


def targets(labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the loss falls.

    Args:
        labels: [B, T], aligned with the tokens; `IGNORED` on the first token of each document.
        weights: [B, T], aligned with the labels.

    Returns:
        positions [N] into the flattened [B * T] that predict a label, these labels [N], and their
        weights [N].
    """
    shifted = torch.full_like(labels, IGNORED)
    shifted[:, :-1] = labels[:, 1:]
    flat = shifted.flatten()
    positions = (flat != IGNORED).nonzero().squeeze(1)
    return positions, flat[positions], weights[:, 1:].flatten()[_without_last(positions, labels)]


def _without_last(positions: Tensor, labels: Tensor) -> Tensor:
    """Positions in [B, T] as positions in [B, T - 1]; the last column predicts nothing."""
    return positions - positions // labels.shape[1]
