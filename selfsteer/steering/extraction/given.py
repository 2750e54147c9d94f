"""Whether activations that a caller captured before are what a result says it was made from."""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.errors import DatasetError
from selfsteer.steering.capture import Activations, ReadAs, Reduce, check_reduce
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.moments import ContrastiveMoments
from selfsteer.steering.selectors import parse

Given = ContrastiveActivations | ContrastiveMoments | Activations


def check_given(
    given: Given, texts: int, layers: Sequence[int] | None, selector: str, reduce: Reduce | None
) -> None:
    """Refuse activations that were captured otherwise than the caller says, as far as they tell.

    Args:
        texts: how many there are, both sides of a contrast together.
        layers: those that the result is to have; None for all that are given.

    Raises:
        DatasetError: of other layers, another number of texts, selector or reduce.
        SelectorError: a selector that cannot be read, or an unknown reduce.
    """
    check_reduce(reduce, tokens=isinstance(given, ContrastiveMoments))
    if layers is not None and sorted(layers) != sorted(given.layers):
        raise DatasetError(
            f"The activations are of layers {list(given.layers)}, not of {list(layers)}; give "
            "layers=None for all of them, or capture those."
        )
    read = given.read
    if read is not None and parse(read.selector) != parse(selector):
        raise DatasetError(
            f"The activations were read at {read.selector!r}, not at {selector!r}; say "
            f"selector={read.selector!r}, or capture them anew."
        )
    if read is not None and read.reduce != reduce:
        raise DatasetError(
            f"The activations were captured with reduce={read.reduce!r}, not with "
            f"reduce={reduce!r}; say so, or capture them anew."
        )
    found = _texts(given, read)
    if found not in (None, texts):
        raise DatasetError(
            f"The activations are of {found} texts, not of the {texts} that they are said to be "
            "of; capture them from these."
        )


def _texts(given: Given, read: ReadAs | None) -> int | None:
    """How many texts were read; None where only tokens were counted, or it is not known which."""
    if isinstance(given, ContrastiveActivations):
        return 2 * given.n_pairs
    if isinstance(given, Activations):
        return int(given.values.shape[1])
    return None if read is None or read.reduce is None else given.n
