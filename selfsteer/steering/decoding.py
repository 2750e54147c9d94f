"""The decoding loop: one batch of rows, from their prompts to their replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from selfsteer.steering import forward
from selfsteer.steering.batching import buckets, pad, reading_budget
from selfsteer.steering.cache import can_be_stacked, decoding_cache, stacked
from selfsteer.steering.constraint import Constraint, Matching, only_allowed
from selfsteer.steering.editing.hooks import Steering
from selfsteer.steering.editing.said import Index, Said
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.model import Student
from selfsteer.steering.sampling import BROKEN, choose, uniforms
from selfsteer.steering.selectors import Mask
from selfsteer.steering.thinning import thinned

# Rows that are done ride along until this share of the batch is: dropping them copies the cache.
_DROP_AT = 1 / 8


@dataclass(frozen=True)
class Settings:
    """How tokens are chosen and replies end.

    Attributes:
        temperature: 0 for the likeliest token.
        seed: of the random streams.
        end_ids: tokens that end a reply.
        watched: tokens whose log-probability is kept at every step.
        constraint: the grammar that every reply keeps to.
    """

    temperature: float
    seed: int
    end_ids: frozenset[int]
    watched: tuple[int, ...] = ()
    constraint: Constraint | None = None


@dataclass
class Reply:
    """Token ids of a reply without the one that ended it.

    Attributes:
        finished: whether a token ended it, or its grammar allowed no more.
        broken: whether it was cut because the logits of its next token were not finite.
        watched: for each token of the reply, and the one that ended it, the log-probabilities
            (natural) of the watched tokens in its place, before any temperature or grammar.
        logprobs: for each of the same places the log-probability of the token itself; empty where
            no tokens are watched.
    """

    ids: list[int] = field(default_factory=list)
    finished: bool = False
    broken: bool = False
    watched: list[list[float]] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


@torch.inference_mode()
def decode_batch(
    student: Student,
    rows: Sequence[Encoded],
    numbers: Index,
    limits: Index,
    edits: Steering,
    settings: Settings,
) -> list[Reply]:
    """Replies to a batch of rows.

    Args:
        rows: all rows of the call.
        numbers: [B] which of them are in this batch; also names their random streams.
        limits: [B] the most tokens that each reply may have; the context has room for the largest
            behind the longest prompt.
        edits: the steering whose hooks are in place, for all rows of the call.
    """
    steps = int(limits.max())
    prompt = _Prompt(student, rows, numbers, edits, steps)
    draws = torch.from_numpy(uniforms(settings.seed, numbers, steps)).to(student.device)
    live = _Live(np.arange(len(numbers)), draws, prompt.lengths, prompt.attention)
    ends = np.zeros(prompt.logits.shape[-1], dtype=bool)
    ends[[i for i in settings.end_ids if i < len(ends)]] = True
    tokens = np.zeros((len(numbers), steps), dtype=np.int64)
    # The watched tokens', then the chosen one's.
    weighed = torch.zeros(len(numbers), steps, len(settings.watched) + 1)
    replies = [Reply() for _ in numbers]
    constraint = settings.constraint
    matching = None if constraint is None else constraint.begin(len(numbers))
    edits.select(numbers)
    logits = prompt.logits
    for step in range(steps):
        logprobs = torch.log_softmax(logits.float(), dim=-1) if settings.watched else None
        chosen, ids, broken = _choose(logits, live, step, settings.temperature, matching)
        if logprobs is not None:
            weighed[live.place, step, :-1] = logprobs[:, list(settings.watched)].cpu()
            weighed[live.place, step, -1] = logprobs.gather(1, chosen[:, None])[:, 0].cpu()
        tokens[live.place, step] = ids
        finished = ended = ends[ids] & ~broken
        if matching is not None:
            finished = ended | matching.take(ids, live.place, live.done | broken)
        over = finished | broken | (limits[live.place] == step + 1)
        for at in np.flatnonzero(~live.done & over):
            place = live.place[at]
            stop = step if ended[at] or broken[at] else step + 1
            reply = Reply(tokens[place, :stop].tolist(), bool(finished[at]), bool(broken[at]))
            if settings.watched:
                seen_until = stop if broken[at] else step + 1
                reply.watched = weighed[place, :seen_until, :-1].tolist()
                reply.logprobs = weighed[place, :seen_until, -1].tolist()
            replies[place] = reply
            live.done[at] = True
        if live.done.all():
            break
        if live.done.mean() >= _DROP_AT:
            kept = np.flatnonzero(~live.done)
            ids, chosen = ids[kept], live.keep(kept, chosen)
            prompt.cache.reorder_cache(torch.from_numpy(kept).to(student.device))
            edits.select(numbers[live.place])
        live.said = edits.on_reply(live.said, ids[:, None])
        seen = None if live.attention is None else live.attention[:, : prompt.width + step + 1]
        positions = (live.lengths + step)[:, None]
        logits = forward.logits(
            student, chosen[:, None], seen, positions, keep=1, cache=prompt.cache
        )[:, -1]
    return replies


def _choose(
    logits: Tensor, live: _Live, step: int, temperature: float, matching: Matching | None
) -> tuple[Tensor, Index, Mask]:
    """The tokens [B] that go on, the same on the CPU, and which rows' logits are not finite: there
    some token goes on, whichever it is."""
    draws = live.draws[:, step]
    if matching is None:
        chosen = choose(logits, temperature, draws)
    else:
        sound = logits.amax(-1).isfinite()
        allowed = matching.restrict(logits, live.place, live.done)
        chosen = only_allowed(choose(allowed, temperature, draws), allowed)
        chosen = torch.where(sound, chosen, BROKEN)
    ids: Index = chosen.cpu().numpy()
    broken: Mask = ids == BROKEN
    if broken.any():
        chosen, ids = chosen.clamp_min(0), np.maximum(ids, 0)
    return chosen, ids, broken


@dataclass
class _Live:
    """The rows that are still in the cache.

    Attributes:
        place: [B] their places in the batch.
        draws: [B, steps] their random numbers.
        lengths: [B] their prompt tokens.
        attention: [B, width + steps], or None where no prompt is padded.
        done: [B] whether their replies have ended, so that they only ride along.
        said: their replies so far, as far as steering looks back.
    """

    place: Index
    draws: Tensor
    lengths: Tensor
    attention: Tensor | None
    done: Mask = field(init=False)
    said: Said = field(init=False)

    def __post_init__(self) -> None:
        self.done = np.zeros(len(self.place), dtype=bool)
        self.said = Said.nothing(len(self.place))

    def keep(self, kept: Index, chosen: Tensor) -> Tensor:
        """Drop all rows but these; returns their part of the tokens just chosen."""
        rows = torch.from_numpy(kept).to(chosen.device)
        self.place, self.done, self.said = self.place[kept], self.done[kept], self.said[kept]
        self.draws, self.lengths = self.draws[rows], self.lengths[rows]
        self.attention = None if self.attention is None else self.attention[rows]
        return chosen[rows]


class _Prompt:
    """The prompts of a batch, read once each.

    Attributes:
        cache: keys and values, one row for each row of the batch.
        logits: [B, V] for the first token of each reply.
        lengths: [B] prompt tokens.
        width: tokens in the cache, pads included.
        attention: [B, width + steps] with ones for the replies; None where there are no pads.
    """

    def __init__(
        self,
        student: Student,
        rows: Sequence[Encoded],
        numbers: Index,
        edits: Steering,
        steps: int,
    ) -> None:
        distinct, place = _distinct(rows, numbers, edits)
        parts = _parts(student, [len(rows[i].ids) for i in distinct])
        several = [_read(student, rows, distinct[part], edits, steps) for part in parts]
        self.cache = stacked([one.cache for one in several])
        place = np.argsort(np.concatenate(parts))[place]
        where = torch.from_numpy(place).to(student.device)
        if not np.array_equal(place, np.arange(len(distinct))):
            self.cache.reorder_cache(where)
        self.logits = torch.cat([one.logits for one in several])[where]
        self.lengths = torch.cat([one.lengths for one in several])[where]
        self.width = int(self.lengths.max())
        self.attention: Tensor | None = None
        if bool((self.lengths < self.width).any()):
            index = torch.arange(self.width + steps, device=student.device)
            self.attention = (index >= (self.width - self.lengths)[:, None]).long()


class _Read(NamedTuple):
    """Some prompts of a batch: their keys and values, logits [B, V] and lengths [B]."""

    cache: Any
    logits: Tensor
    lengths: Tensor


def _parts(student: Student, lengths: Sequence[int]) -> list[Index]:
    """Which prompts are read in one forward, the longest last: as many as the device reads fastest,
    where caches can be put together."""
    if not can_be_stacked(decoding_cache(student, 0)):
        return [np.arange(len(lengths))]
    return [np.array(part) for part in buckets(lengths, reading_budget(student.device))]


def _read(
    student: Student, rows: Sequence[Encoded], numbers: Index, edits: Steering, steps: int
) -> _Read:
    batch = pad([rows[i].ids for i in numbers], student.pad_id, "left", student.device)
    cache = decoding_cache(student, steps)
    edits.select(numbers)
    edits.on_rows("left", batch.ids.shape[1])
    # Of the last block only the last token is used, where no edit or gate looks at the others.
    needed = np.full(tuple(batch.ids.shape), edits.concern(numbers))
    needed[:, -1] = True
    with thinned(student, student.n_layers - 1, needed):
        logits = forward.logits(
            student, batch.ids, batch.mask, batch.positions, keep=1, cache=cache
        )
    return _Read(cache, logits[:, -1], batch.positions[:, -1] + 1)


def _distinct(rows: Sequence[Encoded], numbers: Index, edits: Steering) -> tuple[Index, Index]:
    """Rows to read, and for each row of the batch which of those it equals."""
    places: dict[tuple[tuple[int, ...], int], int] = {}
    place = [
        places.setdefault((tuple(rows[i].ids), edits.plan_on_prompt(i)), len(places))
        for i in numbers
    ]
    _, first = np.unique(place, return_index=True)
    return numbers[first], np.array(place)
