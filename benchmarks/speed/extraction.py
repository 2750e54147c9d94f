"""Extracting vectors: against the peers, and against a bare forward over the same tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import product
from typing import Any

import torch

from benchmarks.bars import Bar
from benchmarks.interleave import Ratio, interleaved, interleaved_seconds, stopwatch
from benchmarks.speed.workers import Worker
from benchmarks.speed.world import LOTS, MIDDLE, TEXTS, dataset, texts
from selfsteer.steering.batching import buckets, reading_budget
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.encoding import encode
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt

BATCHES = (1, 8, 32)  # the peers' batch sizes; the fastest counts
CLOSE = 1.25  # times the shortest time: more than noise makes of one run


def rows(student: Student, workers: Sequence[Worker]) -> Iterator[Bar]:
    """One middle layer and all layers, each against the fastest peer and against the floor.

    On texts that have nothing in common; the middle layer also on pairs that differ in their last
    word.
    """
    middle, all_layers = [MIDDLE], list(range(student.n_layers))
    peers = {lot: fastest(workers, lot) for lot in ("texts", "answered")}
    for lot, name, layers, limit in (
        ("texts", "one middle layer", middle, 5.0),
        ("answered", "one middle layer, pairs of one question", middle, 5.0),
        ("texts", "all layers", all_layers, 2.5),
    ):
        ratio, note = against_peer(student, *peers[lot], layers, lot)
        yield Bar(f"extraction, {name}: times faster", ratio.value, limit, note=note)
    for name, layers in (("one middle layer", middle), ("all layers", all_layers)):
        with threads(1):  # one forward at a time on either side
            floor = interleaved(
                lambda layers=layers: extract(student, layers),  # type: ignore[misc]
                lambda layers=layers: bare_forward(student, max(layers) + 1),  # type: ignore[misc]
            )
        label = f"extraction, {name}: over the floor, one thread"
        yield Bar(label, floor.value, 1.15, at_least=False, note=str(floor))


def against_peer(
    student: Student,
    peer: Worker,
    batch: int,
    layers: Sequence[int],
    lot: str,
    count: int = TEXTS,
) -> tuple[Ratio, str]:
    """The peer's time over ours on so many texts, and which peer it is."""
    ratio = interleaved_seconds(
        lambda: peer.seconds("extract", wanted=list(layers), batch=batch, lot=lot, count=count),
        stopwatch(lambda: extract(student, layers, lot, count)),
        patience=120,
    )
    return ratio, f"{peer.name}, batches of {batch}; {ratio}"


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch have so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def extract(
    student: Student, layers: Sequence[int], lot: str = "texts", count: int = TEXTS
) -> None:
    """A vector from the last token of each of the first `count` texts."""
    extract_vector(student, _given(lot, count), selector="last", reduce="last", layers=layers)


@cache
def _given(lot: str, count: int) -> ContrastiveDataset:
    """The peers, too, have their texts before the time begins."""
    return dataset(LOTS[lot]()[:count])


def fastest(workers: Sequence[Worker], lot: str) -> tuple[Worker, int]:
    """The peer and its batch size with the shortest time; what comes close runs twice.

    On a part of the texts, which have no order, and for one layer only: the peers run the whole
    model, whatever is read of it.
    """

    def timed(which: tuple[Worker, int]) -> float:
        return which[0].seconds(
            "extract", wanted=[MIDDLE], batch=which[1], lot=lot, count=TEXTS // 4
        )

    times = {which: timed(which) for which in product(workers, BATCHES)}
    near = [which for which, spent in times.items() if spent < CLOSE * min(times.values())]
    return min(near, key=lambda which: min(times[which], timed(which)))


@torch.inference_mode()
def bare_forward(student: Student, blocks: int) -> None:
    """The embedding and the first blocks over as many tokens as the texts have, and nothing else.

    Tokenising is part of it. In every batch all rows have the mean length of the texts that
    extraction would put there, so that no pad is read.
    """
    inner: Any = student.model.base_model
    encoded = [encode(student, Prompt.raw(text)) for text in texts()]
    budget = reading_budget(student.device)
    for batch in buckets([len(row.ids) for row in encoded], budget):
        together = [i for place in batch for i in encoded[place].ids]
        width = max(1, len(together) // len(batch))
        ids = torch.tensor(together[: width * len(batch)]).view(len(batch), width)
        positions = torch.arange(width)[None]
        hidden = inner.embed_tokens(ids)
        angles = inner.rotary_emb(hidden, positions)
        for block in student.layers[:blocks]:
            hidden = block(
                hidden, attention_mask=None, position_ids=positions, position_embeddings=angles
            )
