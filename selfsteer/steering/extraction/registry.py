"""Extraction methods by name.

A built-in method is one module and one line of ``_METHODS``. Third parties register theirs as an
entry point of the group ``selfsteer.extraction``, whose name is the method's name and whose object
is the function. Names are listed without importing anything; a plug-in is imported when it is
asked for, and its name never hides a built-in method.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.design import Design
from selfsteer.steering.extraction.factorial import factorial
from selfsteer.steering.extraction.lda import lda
from selfsteer.steering.extraction.logistic import logistic, logistic_shift
from selfsteer.steering.extraction.mean_difference import mean_difference
from selfsteer.steering.extraction.moments import (
    ContrastiveMoments,
    lda_of_moments,
    mean_difference_of_moments,
)
from selfsteer.steering.extraction.pca import pca, spherical_pca, uncentred_pca
from selfsteer.steering.extraction.plug_ins import load_function
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
    "factorial": factorial,
}

_WITH_DESIGN: dict[str, Callable[[ContrastiveActivations, Design], Tensor]] = {
    "factorial": factorial,
}

# Methods that need the means of the two sides and nothing else.
OF_MEANS = frozenset({"mean_difference"})

_OF_MOMENTS: dict[str, Callable[[ContrastiveMoments], Tensor]] = {
    "mean_difference": mean_difference_of_moments,
    "lda": lda_of_moments,
}


def methods() -> list[str]:
    """The names that :func:`extract` knows, sorted."""
    return sorted({*_METHODS, *entry_points(group=ENTRY_POINT_GROUP).names})


def check_method(name: str) -> None:
    """Refuse a method that there is not, before anything is spent on it.

    Raises:
        VectorError: the method is unknown, or cannot be imported.
    """
    _find(name)


def register(name: str, method: Method) -> None:
    """Add a method for this process.

    Raises:
        VectorError: the name is taken.
    """
    if name in methods():
        raise VectorError(f"There is an extraction method {name!r} already; choose another name.")
    _METHODS[name] = method


def extract(
    method: str,
    activations: ContrastiveActivations | ContrastiveMoments,
    design: Design | None = None,
) -> Tensor:
    """The raw directions ``[L, D]`` that ``method`` finds, from the negative to the positive side.

    Args:
        activations: of each text, or for `mean_difference` and `lda` the moments of both sides.
        design: for a factorial method, what else differs between the 2N texts, positive ones first.

    Raises:
        VectorError: the method is unknown, takes no design or no moments, cannot be imported, or
            returns another shape, NaN or infinite values.
        DatasetError: the method cannot use these activations or this design.
    """
    directions = _run(method, activations, design)
    if isinstance(activations, ContrastiveMoments):
        shape = tuple(activations.positive.mean.shape)
    else:
        shape = activations.positive.shape[0], activations.positive.shape[2]
    _check(directions, method, *shape)
    return directions.float()


def _run(
    method: str, activations: ContrastiveActivations | ContrastiveMoments, design: Design | None
) -> Tensor:
    function = _find(method)
    if isinstance(activations, ContrastiveMoments):
        if method not in _OF_MOMENTS or design is not None:
            raise VectorError(
                f"Extraction method {method!r} needs activations of each text; from moments, and "
                f"without a design, there are {', '.join(_OF_MOMENTS)}."
            )
        return _OF_MOMENTS[method](activations)
    if design is None:
        return function(activations)
    if method not in _WITH_DESIGN:
        raise VectorError(
            f"Extraction method {method!r} takes no design; {', '.join(_WITH_DESIGN)} does."
        )
    return _WITH_DESIGN[method](activations, design)


def _check(directions: object, method: str, layers: int, width: int) -> None:
    wanted = f"it should return a tensor of shape [{layers}, {width}]."
    if not isinstance(directions, Tensor):
        raise VectorError(
            f"Extraction method {method!r} returned {type(directions).__name__}; {wanted}"
        )
    if directions.shape != (layers, width):
        raise VectorError(
            f"Extraction method {method!r} returned shape {list(directions.shape)}; {wanted}"
        )
    if not torch.isfinite(directions).all():
        raise VectorError(f"Extraction method {method!r} returned NaN or infinite values.")


def _find(name: str) -> Method:
    if name in _METHODS:
        return _METHODS[name]
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        method: Method = load_function(entry, "Extraction method", "activations to directions")
        return method
    raise VectorError(f"Unknown extraction method {name!r}; known are {', '.join(methods())}.")
