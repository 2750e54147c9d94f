"""The training data as a stream of packed steps that can be entered anywhere.

The corpus is drawn in chunks, each from its own seed, so that resuming costs one chunk and not the
whole past: a position is a chunk's number and the steps taken from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple, get_args

from transformers import PreTrainedTokenizerFast

from selfsteer.errors import DatasetError
from selfsteer.pocket.corpus import Phase, documents
from selfsteer.pocket.packing import Rows, encode_documents, pack
from selfsteer.pocket.segments import Document, Role, Segment

CHUNK = 3000  # documents


class Position(NamedTuple):
    """The next step of a stream."""

    chunk: int = 0
    step: int = 0


def read_extra(path: Path) -> list[Document]:
    """Documents from JSON lines, each a list of [role, text, loss].

    Raises:
        DatasetError: the file is missing, empty, or a line is not such a list.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        extra = [tuple(_segment(*segment) for segment in json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{path} is not JSON lines of [role, text, loss] lists: {error}"
        ) from error
    if not extra:
        raise DatasetError(f"{path} holds no documents")
    return extra


def _segment(role: Role, text: str, loss: float) -> Segment:
    if role not in get_args(Role):
        raise ValueError(f"unknown role {role!r}")
    return Segment(role, text, loss)


class Stream:
    """Packed steps of one phase, endless and deterministic."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        phase: Phase,
        *,
        seed: int,
        rows: int,
        length: int,
        extra: Sequence[Document] = (),
        extra_share: float = 0.0,
    ) -> None:
        self.tokenizer, self.phase, self.seed = tokenizer, phase, seed
        self.rows, self.length = rows, length
        self.extra, self.extra_share = extra, extra_share

    def chunk(self, number: int) -> list[Rows]:
        """All steps of a chunk; the rows that fill no whole step are left out."""
        rng = Random(f"{self.phase}-{self.seed}-{number}")
        drawn = list(islice(documents(self.phase, rng.getrandbits(48)), CHUNK))
        if self.extra:
            drawn = [
                rng.choice(self.extra) if rng.random() < self.extra_share else d for d in drawn
            ]
        encoded = encode_documents(self.tokenizer, drawn)
        packed = pack(encoded, self.length, self.tokenizer.pad_token_id)
        order = list(range(len(packed.ids)))
        rng.shuffle(order)
        return [
            Rows(*(part[order[start : start + self.rows]] for part in packed))
            for start in range(0, len(order) - self.rows + 1, self.rows)
        ]

    def steps(self, position: Position) -> Iterator[tuple[Rows, Position]]:
        """Steps from a position on, each with the position that follows it."""
        number, start = position
        while True:
            steps = self.chunk(number)
            for index in range(start, len(steps)):
                yield steps[index], Position(number, index + 1)
            number, start = number + 1, 0
