"""Functions that other packages bring by entry point, imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

from selfsteer.errors import VectorError


def load_function(entry: EntryPoint, what: str, wanted: str) -> Callable[..., Any]:
    """The function of an entry point.

    Args:
        what: what the function is, at the start of a sentence.
        wanted: from what to what it goes, for the error.

    Raises:
        VectorError: it cannot be imported, or is no function; the sentence names the package.
    """
    named = f"{what} {entry.name!r} is installed by {_package(entry)}, but "
    try:
        found = entry.load()
    except Exception as error:  # importing somebody's module may raise anything
        raise VectorError(
            f"{named}its entry point {entry.value!r} cannot be imported "
            f"({type(error).__name__}: {error})."
        ) from error
    if not callable(found):
        raise VectorError(
            f"{named}its entry point {entry.value!r} is of type {type(found).__name__}; it "
            f"should be a function from {wanted}."
        )
    function: Callable[..., Any] = found
    return function


def _package(entry: EntryPoint) -> str:
    return "a package" if entry.dist is None else f"package {entry.dist.name!r}"
