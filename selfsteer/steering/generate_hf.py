"""Steered generation through transformers' own `generate`, for what our loop does not do: beams."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfsteer.errors import PlanError, StudentError
from selfsteer.steering.batching import buckets, pad
from selfsteer.steering.cache import check_used, decoding_cache
from selfsteer.steering.editing.hooks import Steering, steering
from selfsteer.steering.editing.idle import warn_of_idle_edits
from selfsteer.steering.editing.said import Said
from selfsteer.steering.encoding import Encoded, encode_all
from selfsteer.steering.generate import (
    Generation,
    check_settings,
    companions,
    end_ids,
    reply_text,
    room,
)
from selfsteer.steering.model import Student
from selfsteer.steering.overflow import out_of_range
from selfsteer.steering.plan import Plan, one_per_row
from selfsteer.steering.products import fast_products
from selfsteer.steering.prompts import Prompt

# What the call says itself.
_OURS = (
    "inputs",
    "input_ids",
    "inputs_embeds",
    "attention_mask",
    "position_ids",
    "past_key_values",
    "cache_params",
    "cache_implementation",
    "use_cache",
    "eos_token_id",
    "pad_token_id",
)
# What reads other tokens than the prompt and then one at a time, or gives another result than ids.
_UNFIT = (
    "assistant_model",
    "prompt_lookup_num_tokens",
    "use_mtp",
    "assistant_early_exit",
    "guidance_scale",
    "negative_prompt_ids",
    "prefill_chunk_size",
    "token_healing",
    "return_dict_in_generate",
    "custom_generate",
    "trust_remote_code",
    "penalty_alpha",
    "dola_layers",
    "num_beam_groups",
    "constraints",
    "force_words_ids",
)
_SAYS_NOTHING = {"guidance_scale": 1, "penalty_alpha": 0, "num_beam_groups": 1}


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
        options: what else `model.generate` takes and gives one sequence of tokens for each prompt,
            read one token at a time: how tokens are weighed and chosen, and when a reply stops. A
            `temperature` of 0 takes the likeliest token each time, as in our own loop. A reply that
            a stop string or criterion ends is finished, and keeps the string.

    Raises:
        PlanError: as `generate` does; fewer than one beam, more than one sequence for a prompt,
            an option of another kind (assisted decoding, guidance, a dictionary as the result) or
            one that this call sets itself (pads, end tokens, the cache).
        SelectorError, StudentError, VectorError: as `generate` does.

    Warns:
        SteeringWarning: as `generate` does.
    """
    if num_beams < 1:
        raise PlanError(f"num_beams is {num_beams}; it must be 1 or more.")
    _check_options(student, options)
    temperature = options.get("temperature")
    check_settings(max_new_tokens, 1.0 if temperature is None else temperature)
    if temperature == 0:
        options = {k: v for k, v in options.items() if k != "temperature"} | {"do_sample": False}
    rows = encode_all(student, prompts)
    limits = [room(student, row, max_new_tokens) for row in rows]
    chosen = one_per_row(plans, len(rows))
    replies: dict[int, Generation] = {}
    with steering(student, chosen, rows, max_new_tokens) as edits, fast_products(student):
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
            steered = edits.concern(np.array(numbers))
            found = _generate(student, [rows[i] for i in numbers], edits, steered, these)
            replies.update(zip(numbers, found, strict=True))
    return [replies[i] for i in range(len(rows))]


def _check_options(student: Student, options: Mapping[str, Any]) -> None:
    """Refuse what cannot be steered, given in the call or by a generation config."""
    if (_setting(student, options, "num_return_sequences") or 1) != 1:
        raise PlanError("num_return_sequences must be 1; repeat the prompt for more replies.")
    if ours := [name for name in _OURS if name in options]:
        raise PlanError(f"steered_generate_hf sets {ours[0]} itself; leave it out.")
    for name in _UNFIT:
        value = _setting(student, options, name)
        if value is not None and value is not False and value != _SAYS_NOTHING.get(name):
            raise PlanError(
                f"steered_generate_hf cannot take {name}: it steers replies that are read one "
                "token at a time and come as ids; leave it out."
            )


def _setting(student: Student, options: Mapping[str, Any], name: str) -> Any:
    """What `model.generate` goes by: the option, or else a generation config."""
    configs = (options.get("generation_config"), student.model.generation_config)
    found = (options.get(name), *(getattr(config, name, None) for config in configs))
    return next((value for value in found if value is not None), None)


def _batches(
    student: Student, rows: Sequence[Encoded], limits: Sequence[int]
) -> Iterator[list[int]]:
    """All rows together, unless they are no companions or the student may see no pads."""
    apart = [companions(student, row, limit) for row, limit in zip(rows, limits, strict=True)]
    for kind in sorted(set(apart), reverse=True):
        numbers = [i for i, own in enumerate(apart) if own == kind]
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
    student: Student,
    rows: Sequence[Encoded],
    edits: Steering,
    steered: bool,
    options: dict[str, Any],
) -> list[Generation]:
    """Replies to one batch, whose rows and beams the edits already have.

    Args:
        steered: whether any of them edits or reads something.
    """
    batch = pad([row.ids for row in rows], student.pad_id, "left", student.device)
    width, ends = batch.ids.shape[1], end_ids(student)
    cache = decoding_cache(student, options["max_new_tokens"])
    with torch.inference_mode(), _told_what_comes(student, edits, steered, width, cache):
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
    stops = _setting(student, options, "stop_strings") or options.get("stopping_criteria")
    limit = options["max_new_tokens"] if stops else 0
    return [
        _generation(student, row, ids, ends, limit) for row, ids in zip(rows, replies, strict=True)
    ]


@contextmanager
def _told_what_comes(
    student: Student, edits: Steering, steered: bool, width: int, cache: Any
) -> Iterator[None]:
    """Tell the edits before each forward of `generate` which tokens it is over.

    Raises:
        StudentError: in a forward of a steered batch that is over the prompt once more.
    """
    said: Said | None = None
    reorder = cache.reorder_cache

    def before(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        nonlocal said
        ids = kwargs["input_ids"]
        if said is None:
            edits.on_rows("left", width)
            said = Said.nothing(len(ids))
        elif ids.shape[1] > 1 and steered:
            raise StudentError(
                f"{student.name} reads its prompt once more in the middle of a reply, where other "
                "rotary factors begin, and cannot be steered there by steered_generate_hf; use "
                "generate, or lower max_new_tokens."
            )
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


def _generation(
    student: Student, row: Encoded, ids: list[int], ends: frozenset[int], limit: int
) -> Generation:
    """A reply from what `generate` gave; one that may stop without an end token, and is followed
    by pads then, has fewer tokens than its `limit` (else 0) where it did."""
    stop = next((i for i, token in enumerate(ids) if token in ends), None)
    kept = ids[:stop]
    while limit and kept and kept[-1] == student.pad_id:
        kept.pop()
    return Generation(reply_text(student, row, kept), kept, stop is not None or len(kept) < limit)
