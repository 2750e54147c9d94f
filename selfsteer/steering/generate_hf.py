"""Steered generation through transformers' own `generate`, for what our loop does not do: beams."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfsteer.errors import PlanError
from selfsteer.steering.batching import buckets, pad
from selfsteer.steering.cache import check_used, decoding_cache
from selfsteer.steering.editing.hooks import Steering, steering
from selfsteer.steering.editing.idle import warn_of_idle_edits
from selfsteer.steering.editing.said import Said
from selfsteer.steering.encoding import Encoded, encode_all
from selfsteer.steering.generate import (
    Generation,
    check_settings,
    end_ids,
    reply_text,
    room,
)
from selfsteer.steering.model import Student
from selfsteer.steering.overflow import out_of_range
from selfsteer.steering.plan import Plan, one_per_row
from selfsteer.steering.prompts import Prompt


def steered_generate_hf(
    student: Student,
    prompts: Sequence[Prompt],
    plans: Plan | Sequence[Plan] | None = None,
    *,
    max_new_tokens: int = 96,
    num_beams: int = 1,
    **options: Any,
) -> list[Generation]:
    """One reply for each prompt, in order, by `model.generate` in a single batch.

    Prompts so long that their replies end early with the student's context have batches of their
    own, and a recurrent student gets a batch for each length of prompt.

    Args:
        num_beams: beams of each prompt; all follow the prompt's plan.
        options: anything else that `model.generate` takes, one sequence for each prompt. A
            `temperature` of 0 takes the likeliest token each time, as in our own loop.

    Raises:
        PlanError: as `generate` does; fewer than one beam, more than one sequence for a prompt.
        SelectorError, StudentError, VectorError: as `generate` does.

    Warns:
        SteeringWarning: as `generate` does.
    """
    if num_beams < 1:
        raise PlanError(f"num_beams is {num_beams}; it must be 1 or more.")
    if options.get("num_return_sequences", 1) != 1:
        raise PlanError("num_return_sequences must be 1; repeat the prompt for more replies.")
    temperature = options.get("temperature", 1.0)
    check_settings(max_new_tokens, temperature)
    if temperature == 0:
        options = {k: v for k, v in options.items() if k != "temperature"} | {"do_sample": False}
    rows = encode_all(student, prompts)
    limits = [room(student, row, max_new_tokens) for row in rows]
    chosen = one_per_row(plans, len(rows))
    replies: dict[int, Generation] = {}
    with steering(student, chosen, rows, max_new_tokens) as edits:
        warn_of_idle_edits(edits)
        for numbers in _batches(student, rows, limits):
            edits.select(np.repeat(numbers, num_beams))
            these = options | {
                "max_new_tokens": limits[numbers[0]],
                "num_beams": num_beams,
                "logits_processor": [
                    _sound_logits(student, numbers, chosen, num_beams),
                    *(options.get("logits_processor") or ()),
                ],
            }
            found = _generate(student, [rows[i] for i in numbers], edits, these)
            replies.update(zip(numbers, found, strict=True))
    return [replies[i] for i in range(len(rows))]


def _batches(
    student: Student, rows: Sequence[Encoded], limits: Sequence[int]
) -> Iterator[list[int]]:
    """All rows together, unless their limits differ or the student may see no pads."""
    for limit in sorted(set(limits), reverse=True):
        numbers = [i for i, own in enumerate(limits) if own == limit]
        if student.recurrent:
            lengths = [len(rows[i].ids) for i in numbers]
            for part in buckets(lengths, sys.maxsize, one_length=True):
                yield [numbers[i] for i in part]
        else:
            yield numbers


def _sound_logits(
    student: Student, numbers: Sequence[int], plans: Sequence[Plan], num_beams: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """Lets scores through as they are, unless they are not finite."""

    def check(_ids: Tensor, scores: Tensor) -> Tensor:
        broken = (~scores.amax(-1).isfinite()).nonzero()
        if len(broken):
            row = numbers[int(broken[0]) // num_beams]
            raise out_of_range(student, row, plans[row])
        return scores

    return check


def _generate(
    student: Student, rows: Sequence[Encoded], edits: Steering, options: dict[str, Any]
) -> list[Generation]:
    """Replies to one batch, whose rows and beams the edits already have."""
    batch = pad([row.ids for row in rows], student.pad_id, "left", student.device)
    width, ends = batch.ids.shape[1], end_ids(student)
    cache = decoding_cache(student, options["max_new_tokens"])
    with torch.inference_mode(), _told_what_comes(student, edits, width, cache):
        model: Any = student.model
        sequences = model.generate(
            batch.ids,
            attention_mask=batch.attention,
            use_cache=True,  # the config of some families says no
            eos_token_id=sorted(ends) or None,
            pad_token_id=student.pad_id,
            **{str(student.cache_argument): cache},
            **options,
        )
    check_used(student, cache)
    replies = [ids[width:] for ids in sequences.tolist()]
    return [_generation(student, row, ids, ends) for row, ids in zip(rows, replies, strict=True)]


@contextmanager
def _told_what_comes(student: Student, edits: Steering, width: int, cache: Any) -> Iterator[None]:
    """Tell the edits before each forward of `generate` which tokens it is over."""
    said: Said | None = None
    reorder = cache.reorder_cache

    def before(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        nonlocal said
        ids = kwargs["input_ids"]
        if said is None:
            edits.on_rows("left", width)
            said = Said.nothing(len(ids))
        else:
            said = edits.on_reply(said, ids.cpu().numpy())

    def follow(beams: Tensor) -> None:
        """Beams change places: what each has said so far moves along."""
        nonlocal said
        assert said is not None
        said = said[beams.cpu().numpy()]
        reorder(beams)

    cache.reorder_cache = follow
    handle = student.model.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _generation(student: Student, row: Encoded, ids: list[int], ends: frozenset[int]) -> Generation:
    stop = next((i for i, token in enumerate(ids) if token in ends), None)
    kept = ids[:stop]
    return Generation(reply_text(student, row, kept), kept, stop is not None)
