"""From a contrastive dataset to a steering vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.capture import Reduce
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.extraction.activations import ContrastiveActivations, capture_pairs
from selfsteer.steering.extraction.design import Design
from selfsteer.steering.extraction.given import check_given
from selfsteer.steering.extraction.moments import ContrastiveMoments, capture_pair_moments
from selfsteer.steering.extraction.registry import OF_MEANS, extract
from selfsteer.steering.model import Student
from selfsteer.steering.vectors import SteeringVector


def extract_vector(
    student: Student,
    dataset: ContrastiveDataset,
    *,
    method: str = "mean_difference",
    selector: str = "response",
    reduce: Reduce | None = "mean",
    layers: Sequence[int] | None = None,
    activations: ContrastiveActivations | ContrastiveMoments | None = None,
    design: Design | None = None,
) -> SteeringVector:
    """The steering vector of a dataset, with its provenance.

    Args:
        method: a name of :func:`selfsteer.steering.extraction.registry.methods`.
        selector: which tokens; see :mod:`selfsteer.steering.selectors`.
        reduce: the mean of the selected tokens of a text, or the last of them; None: every selected
            token counts once, for the methods that can do with moments.
        layers: layer numbers; None for all blocks.
        activations: what :func:`capture_pairs` gave for the same dataset, selector, reduce and
            layers, so that several methods share one pass, or (for methods that need no more)
            the moments that :func:`capture_pair_moments` gave for the same and, where every token
            is to count once, ``reduce=None``; None to capture here. A method that needs no more
            than the means of the two sides keeps nothing of a single text then.
        design: for a factorial method, what else differs between the texts, all positive ones
            first.

    Raises:
        SelectorError: a text has no selected token, or `reduce` is unknown.
        StudentError: a layer does not exist.
        DatasetError: activations that are NaN or infinite, or captured otherwise than is said here,
            or a design that does not fit.
        VectorError: the method is unknown or needs activations of each text, or the two sides give
            the same activations everywhere.
    """
    if activations is None:
        activations = _read(student, dataset, method, selector, reduce, layers, design)
    else:
        check_given(activations, 2 * len(dataset.pairs), layers, selector, reduce)
    return to_vector(
        extract(method, activations, design),
        activations,
        student,
        dataset,
        method=method,
        selector=selector,
        notes=_sample(activations, len(dataset.pairs), reduce) | _described(design),
    )


def _read(
    student: Student,
    dataset: ContrastiveDataset,
    method: str,
    selector: str,
    reduce: Reduce | None,
    layers: Sequence[int] | None,
    design: Design | None,
) -> ContrastiveActivations | ContrastiveMoments:
    """As much of the texts as the method needs."""
    if reduce is None or (method in OF_MEANS and design is None):
        return capture_pair_moments(
            student,
            dataset,
            selector=selector,
            layers=layers,
            reduce=reduce,
            second=method not in OF_MEANS,
        )
    return capture_pairs(student, dataset, selector=selector, reduce=reduce, layers=layers)


def _sample(
    activations: ContrastiveActivations | ContrastiveMoments, pairs: int, reduce: Reduce | None
) -> dict[str, Any]:
    """What a direction was averaged over."""
    if isinstance(activations, ContrastiveMoments) and reduce is None:
        return {"tokens": activations.n}
    return {"reduce": reduce, "pairs": pairs}


def _described(design: Design | None) -> dict[str, Any]:
    """The design as provenance: two designs of the same data give two vectors."""
    if design is None:
        return {}
    return {"design": {"attributes": dict(design.attributes), "items": list(design.items)}}


def to_vector(
    directions: Tensor,
    activations: ContrastiveActivations | ContrastiveMoments,
    student: Student,
    dataset: ContrastiveDataset,
    *,
    method: str,
    selector: str,
    notes: Mapping[str, Any],
) -> SteeringVector:
    """Directions ``[L, D]`` with where they came from.

    Raises:
        VectorError: the sides are alike, every direction is zero, or a value is NaN or infinite.
    """
    if activations.alike or not directions.any():
        raise VectorError(
            f"The two sides of the contrast for {dataset.concept!r} give the same activations at "
            f"the tokens of '{selector}', so there is no direction; select tokens that differ."
        )
    return SteeringVector(
        directions=dict(zip(activations.layers, directions, strict=True)),
        residual_norms=dict(
            zip(activations.layers, activations.residual_norms.tolist(), strict=True)
        ),
        method=method,
        selector=selector,
        concept=dataset.concept,
        dataset_id=dataset.id,
        student_fingerprint=student.fingerprint,
        notes=notes,
    )
