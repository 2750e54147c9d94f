"""Steered generation through transformers' own `generate`, for what our loop does not do: beams."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfsteer.errors import PlanError
from selfsteer.steering.batching import buckets, pad
from selfsteer.steering.cache import check_used, decoding_cache
from selfsteer.steering.editing.hooks import Steering, steering
from selfsteer.steering.editing.said import Said
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.generate import Generation, end_ids, reply_text, warn_of_idle_plans
from selfsteer.steering.model import Student
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

    A recurrent student gets a batch for each length of prompt.

    Args:
        num_beams: beams of each prompt; all follow the prompt's plan.
        options: anything else that `model.generate` takes, one sequence for each prompt.

    Raises:
        PlanError: as `generate` does; fewer than one beam, more than one sequence for a prompt.
        SelectorError, StudentError, VectorError: as `generate` does.

    Warns:
        SteeringWarning: a plan with edits changes nothing, and why.
    """
    if num_beams < 1:
        raise PlanError(f"num_beams is {num_beams}; it must be 1 or more.")
    if options.get("num_return_sequences", 1) != 1:
        raise PlanError("num_return_sequences must be 1; repeat the prompt for more replies.")
    rows = [encode(student, prompt) for prompt in prompts]
    options = {"max_new_tokens": max_new_tokens, "num_beams": num_beams, **options}
    replies: dict[int, Generation] = {}
    with steering(student, one_per_row(plans, len(rows)), rows, max_new_tokens) as edits:
        warn_of_idle_plans(edits)
        for numbers in _batches(student, rows):
            edits.select(np.repeat(numbers, num_beams))
            found = _generate(student, [rows[i] for i in numbers], edits, options)
            replies.update(zip(numbers, found, strict=True))
    return [replies[i] for i in range(len(rows))]


def _batches(student: Student, rows: Sequence[Encoded]) -> list[list[int]]:
    """All rows together, unless the student may see no pads."""
    if not student.recurrent:
        return [list(range(len(rows)))]
    return list(buckets([len(row.ids) for row in rows], sys.maxsize, one_length=True))


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
