"""Steered generation through transformers' own `generate`, for what our loop does not do: beams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfsteer.errors import PlanError
from selfsteer.steering.batching import pad
from selfsteer.steering.cache import decoding_cache
from selfsteer.steering.encoding import encode
from selfsteer.steering.generate import Generation, end_ids, warn_of_idle_plans
from selfsteer.steering.hooks import Steering, steering
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan, one_per_row
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.said import Said


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

    Args:
        num_beams: beams of each prompt; all follow the prompt's plan.
        options: anything else that `model.generate` takes, one sequence for each prompt.

    Raises:
        PlanError: as `generate` does; fewer than one beam, more than one sequence for a prompt.
        SelectorError, VectorError: as `generate` does.

    Warns:
        SteeringWarning: a plan with edits changes nothing, and why.
    """
    if num_beams < 1:
        raise PlanError(f"num_beams is {num_beams}; it must be 1 or more.")
    if options.get("num_return_sequences", 1) != 1:
        raise PlanError("num_return_sequences must be 1; repeat the prompt for more replies.")
    rows = [encode(student, prompt) for prompt in prompts]
    batch = pad([row.ids for row in rows], student.pad_id, "left", student.device)
    width, ends = batch.ids.shape[1], end_ids(student)
    with steering(student, one_per_row(plans, len(rows)), rows, max_new_tokens) as edits:
        warn_of_idle_plans(edits)
        edits.select(np.repeat(np.arange(len(rows)), num_beams))
        cache = decoding_cache(student.model.config, max_new_tokens)
        with torch.inference_mode(), _told_what_comes(student, edits, width, cache):
            model: Any = student.model
            sequences = model.generate(
                batch.ids,
                attention_mask=batch.attention,
                past_key_values=cache,
                max_new_tokens=max_new_tokens,
                num_beams=num_beams,
                eos_token_id=sorted(ends) or None,
                pad_token_id=student.pad_id,
                **options,
            )
    return [_generation(student, ids[width:], ends) for ids in sequences.tolist()]


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


def _generation(student: Student, ids: list[int], ends: frozenset[int]) -> Generation:
    stop = next((i for i, token in enumerate(ids) if token in ends), None)
    kept = ids[:stop]
    text = student.tokenizer.decode(kept, skip_special_tokens=True)
    return Generation(str(text), kept, stop is not None)
