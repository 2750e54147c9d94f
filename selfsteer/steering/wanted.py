"""What is to be read of a student, checked before anything runs: rows, their tokens, layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from selfsteer.errors import SelectorError, StudentError
from selfsteer.steering.encoding import Encoded, encode_all
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.selectors import Mask, Selector

Item = Prompt | Example | Encoded
_SHOWN = 80  # characters of a text in a message


def rows_of(student: Student, examples: Sequence[Item]) -> list[Encoded]:
    """The texts as tokens.

    Raises:
        StudentError: one is longer than the student's context.
    """
    rows = encode_all(student, examples)
    limit = student.context_length
    for number, row in enumerate(rows):
        if limit is not None and len(row.ids) > limit:
            raise StudentError(
                f"Text {number} has {len(row.ids)} tokens, but {student.name} reads {limit}; "
                "shorten it."
            )
    return rows


def layers_of(student: Student, layers: Sequence[int] | None) -> tuple[int, ...]:
    """The layers that are asked for; None for all blocks.

    Raises:
        StudentError: one does not exist.
    """
    chosen = tuple(range(student.n_layers) if layers is None else layers)
    for layer in chosen:
        student.check_layer(layer)
    return chosen


def masks_of(student: Student, rows: Sequence[Encoded], selector: Selector) -> list[Mask]:
    """The selected tokens of each row.

    Raises:
        SelectorError: a row has none.
    """
    masks = [selector.mask(row) for row in rows]
    for number, mask in enumerate(masks):
        if not mask.any():
            text = str(student.tokenizer.decode(rows[number].ids))
            shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"
            raise SelectorError(
                f"Selector '{selector}' matches no token of text {number}, {shown!r}; a bare "
                "prompt has no response, positions end with the text, and special tokens match "
                "only where they are named."
            )
    return masks


def only_last(mask: Mask) -> Mask:
    """The last of the selected tokens alone."""
    out = np.zeros_like(mask)
    out[np.flatnonzero(mask)[-1]] = True
    return out
