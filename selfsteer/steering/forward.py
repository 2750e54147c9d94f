"""One forward of the student, whatever its family calls the arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn

from selfsteer.steering.cache import check_used
from selfsteer.steering.model import Student


def logits(
    student: Student,
    ids: Tensor,
    attention: Tensor | None,
    positions: Tensor | None,
    *,
    keep: int,
    cache: Any = None,
) -> Tensor:
    """Logits [B, keep, V] at the last `keep` of the tokens `ids` [B, T].

    Args:
        attention: [B, S], 1 for tokens and 0 for pads, over all S tokens seen so far; None where
            no row is padded, which spares building masks.
        positions: [B, T], each token's position in its row; None where every row begins at 0.
        cache: of `decoding_cache`: keys and values, or states, of the tokens before, to which
            these are added.

    Raises:
        StudentError: a model that keeps its state outside the cache.
    """
    given = arguments(student, ids, attention, positions, cache)
    if "logits_to_keep" in student.forward_arguments:
        given["logits_to_keep"] = keep
    with _contiguous_head(student) if keep < ids.shape[1] else nullcontext():
        out: Tensor = student.model(**given).logits
    if cache is not None:
        check_used(student, cache)
    return out[:, -keep:].to(ids.device)


def arguments(
    student: Student,
    ids: Tensor,
    attention: Tensor | None = None,
    positions: Tensor | None = None,
    cache: Any = None,
) -> dict[str, Any]:
    """What the student's forward is called with; see :func:`logits`.

    Without positions every row begins at 0.
    """
    given: dict[str, Any] = {"input_ids": ids, "attention_mask": attention}
    if positions is not None and "position_ids" in student.forward_arguments:
        given["position_ids"] = positions
    if cache is not None and student.cache_argument is not None:
        given[student.cache_argument] = cache
    return {**given, "use_cache": cache is not None}


@contextmanager
def _contiguous_head(student: Student) -> Iterator[None]:
    """Let the output head see contiguous activations.

    The last tokens of several rows do not follow one another in memory, and then torch reads the
    head's weights once for each row instead of once.
    """
    head: nn.Module | None = student.model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if head is None:
        yield
        return
    handle = head.register_forward_pre_hook(lambda _, args: (args[0].contiguous(), *args[1:]))
    try:
        yield
    finally:
        handle.remove()
