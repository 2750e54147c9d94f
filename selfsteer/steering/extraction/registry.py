"""Extraction methods by name.

A built-in method is one module and one line of ``_METHODS``. Third parties register theirs as an
entry point of the group ``selfsteer.extraction``, whose name is the method's name and whose object
is the function; it is imported when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.lda import lda
from selfsteer.steering.extraction.logistic import logistic, logistic_shift
from selfsteer.steering.extraction.mean_difference import mean_difference
from selfsteer.steering.extraction.pca import pca, spherical_pca, uncentred_pca
from selfsteer.steering.extraction.ridge import ridge, ridge_shift

ENTRY_POINT_GROUP = "selfsteer.extraction"

Method = Callable[[ContrastiveActivations], Tensor]
"""From activations to raw directions ``[L, D]``, from the negative to the positive side."""

_METHODS: dict[str, Method] = {
    "mean_difference": mean_difference,
    "pca": pca,
    "uncentred_pca": uncentred_pca,
    "spherical_pca": spherical_pca,
    "lda": lda,
    "logistic": logistic,
    "logistic_shift": logistic_shift,
    "ridge": ridge,
    "ridge_shift": ridge_shift,
}


def methods() -> list[str]:
    """The names that :func:`extract` knows, sorted."""
    return sorted({*_METHODS, *entry_points(group=ENTRY_POINT_GROUP).names})


def register(name: str, method: Method) -> None:
    """Add a method for this process.

    Raises:
        VectorError: the name is taken.
    """
    if name in methods():
        raise VectorError(f"There is an extraction method {name!r} already; choose another name.")
    _METHODS[name] = method


def extract(method: str, activations: ContrastiveActivations) -> Tensor:
    """The raw directions ``[L, D]`` that ``method`` finds, from the negative to the positive side.

    Raises:
        VectorError: the method is unknown, cannot be imported, or returns another shape.
    """
    directions = _find(method)(activations)
    layers, _, width = activations.positive.shape
    if directions.shape != (layers, width):
        raise VectorError(
            f"Extraction method {method!r} returned shape {list(directions.shape)}; it should "
            f"return [{layers}, {width}]."
        )
    return directions.float()


def _find(name: str) -> Method:
    if name in _METHODS:
        return _METHODS[name]
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            method: Method = entry.load()
        except (ImportError, AttributeError) as error:
            raise VectorError(
                f"Extraction method {name!r} is installed but {entry.value} cannot be imported "
                f"({error})."
            ) from error
        return method
    raise VectorError(f"Unknown extraction method {name!r}; known are {', '.join(methods())}.")
