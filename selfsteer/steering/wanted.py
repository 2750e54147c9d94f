"""What is to be read of a student, checked before anything runs: texts, their tokens, layers."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from selfsteer.errors import SelectorError, StudentError
from selfsteer.steering.encoding import Encoded, Item, encode_each
from selfsteer.steering.model import Student
from selfsteer.steering.selectors import Mask, Selector

_SHOWN = 80  # characters of a text in a message


def texts_of(
    student: Student, examples: Sequence[Item], selector: Selector
) -> tuple[list[Sequence[int]], list[Mask]]:
    """Token ids of each text, and which of its tokens are selected.

    Five bytes for each token: of many texts all are held while they are read.

    Raises:
        SelectorError: a text has no selected token.
        StudentError: one is longer than the student's context.
    """
    limit = student.context_length
    texts: list[Sequence[int]] = []
    masks: list[Mask] = []
    for number, row in enumerate(encode_each(student, examples)):
        if limit is not None and len(row.ids) > limit:
            raise StudentError(
                f"Text {number} has {len(row.ids)} tokens, but {student.name} reads {limit}; "
                "shorten it."
            )
        mask = selector.mask(row)
        if not mask.any():
            raise SelectorError(_matches_nothing(student, selector, row, number))
        texts.append(array("i", row.ids))
        masks.append(mask)
    return texts, masks


def _matches_nothing(student: Student, selector: Selector, row: Encoded, number: int) -> str:
    text = str(student.tokenizer.decode(row.ids))
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"
    return (
        f"Selector '{selector}' matches no token of text {number}, {shown!r}; a bare "
        "prompt has no response, positions end with the text, and special tokens match "
        "only where they are named."
    )


def layers_of(student: Student, layers: Sequence[int] | None) -> tuple[int, ...]:
    """The layers that are asked for; None for all blocks.

    Raises:
        StudentError: one does not exist.
    """
    chosen = tuple(range(student.n_layers) if layers is None else layers)
    for layer in chosen:
        student.check_layer(layer)
    return chosen


def only_last(mask: Mask) -> Mask:
    """The last of the selected tokens alone."""
    out = np.zeros_like(mask)
    out[np.flatnonzero(mask)[-1]] = True
    return out
