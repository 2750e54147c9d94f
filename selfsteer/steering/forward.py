"""One forward of the student to logits, whatever its family calls the arguments."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from selfsteer.steering.cache import check_used
from selfsteer.steering.model import Student


def logits(
    student: Student,
    ids: Tensor,
    attention: Tensor | None,
    positions: Tensor,
    *,
    keep: int,
    cache: Any = None,
) -> Tensor:
    """Logits [B, keep, V] at the last `keep` of the tokens `ids` [B, T].

    Args:
        attention: [B, S], 1 for tokens and 0 for pads, over all S tokens seen so far; None where
            no row is padded, which spares building masks.
        positions: [B, T], each token's position in its row.
        cache: of `decoding_cache`: keys and values, or states, of the tokens before, to which
            these are added.

    Raises:
        StudentError: a model that keeps its state outside the cache.
    """
    arguments: dict[str, Any] = {"input_ids": ids, "attention_mask": attention}
    if "position_ids" in student.forward_arguments:
        arguments["position_ids"] = positions
    if "logits_to_keep" in student.forward_arguments:
        arguments["logits_to_keep"] = keep
    if cache is not None and student.cache_argument is not None:
        arguments[student.cache_argument] = cache
    out: Tensor = student.model(**arguments, use_cache=cache is not None).logits
    if cache is not None:
        check_used(student, cache)
    return out[:, -keep:].to(ids.device)
