"""Rows of different lengths as one padded batch, and many rows as few batches."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Side = Literal["left", "right"]
# Tokens per forward over whole rows. A core is busy with few, and small batches have rows
# of one length, hence few pads; an accelerator wants many.
_ON_CPU, _ON_ACCELERATOR = 1024, 8192


@dataclass(frozen=True)
class Batch:
    """Token ids of B rows, padded to T.

    Attributes:
        ids: [B, T] token ids.
        attention: [B, T], 1 for tokens and 0 for pads.
        positions: [B, T], each token's position in its own row; 0 at pads.
    """

    ids: Tensor
    attention: Tensor
    positions: Tensor

    @property
    def mask(self) -> Tensor | None:
        """The attention mask, or None where no row is padded."""
        return None if bool(self.attention.all()) else self.attention


def pad(rows: Sequence[Sequence[int]], pad_id: int, side: Side, device: torch.device) -> Batch:
    """One batch of rows, filled up on `side`."""
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    fill = [[pad_id] * (width - len(row)) for row in rows]
    pairs = zip(rows, fill, strict=True)
    ids = torch.tensor([[*f, *r] if side == "left" else [*r, *f] for r, f in pairs])
    index = torch.arange(width)
    if side == "left":
        positions = index - (width - lengths)[:, None]
        attention = positions >= 0
    else:
        positions = index.expand(len(rows), -1)
        attention = positions < lengths[:, None]
    positions = positions * attention
    return Batch(ids.to(device), attention.long().to(device), positions.to(device))


def reading_budget(device: torch.device) -> int:
    """Tokens per forward at which a device reads whole rows fastest."""
    return _ON_CPU if device.type == "cpu" else _ON_ACCELERATOR


def buckets(
    lengths: Sequence[int],
    token_budget: int,
    max_rows: int | None = None,
    *,
    one_length: bool = False,
    apart: Sequence[Hashable] | None = None,
) -> Iterator[list[int]]:
    """Indices of rows in batches of similar length, longest last.

    A batch holds at most `token_budget` tokens, pads included, and at most `max_rows` rows; a
    row that alone is over the budget is a batch of its own.

    Args:
        one_length: never pad: all rows of a batch have the same length.
        apart: something of each row that all rows of a batch have in common.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        full = (len(batch) + 1) * lengths[index] > token_budget or len(batch) == max_rows
        full = full or (one_length and bool(batch) and lengths[batch[0]] != lengths[index])
        full = full or (apart is not None and bool(batch) and apart[batch[0]] != apart[index])
        if batch and full:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
