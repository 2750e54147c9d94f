"""One forward of the student to logits, whatever its family calls the arguments."""

from __future__ import annotations

from typing import Any

from torch import Tensor

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
        cache: keys and values of the tokens before, to which these are added.
    """
    arguments: dict[str, Any] = {"input_ids": ids, "attention_mask": attention}
    if "position_ids" in student.forward_arguments:
        arguments["position_ids"] = positions
    if "logits_to_keep" in student.forward_arguments:
        arguments["logits_to_keep"] = keep
    if cache is not None:
        arguments["past_key_values"] = cache
    out: Tensor = student.model(**arguments, use_cache=cache is not None).logits
    return out[:, -keep:]
