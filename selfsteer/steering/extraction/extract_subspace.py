"""From a student and its data to a subspace."""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.steering.capture import Reduce, capture
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.extraction.activations import ContrastiveActivations, capture_pairs
from selfsteer.steering.extraction.given import check_given
from selfsteer.steering.extraction.levels import Levels
from selfsteer.steering.extraction.subspace import (
    Subspace,
    class_mean_subspace,
    difference_subspace,
)
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example


def extract_subspace(
    student: Student,
    dataset: ContrastiveDataset,
    k: int,
    *,
    selector: str = "response",
    reduce: Reduce = "mean",
    layers: Sequence[int] | None = None,
    activations: ContrastiveActivations | None = None,
) -> Subspace:
    """The first k principal directions of the pair differences.

    Args:
        selector: which tokens; see :mod:`selfsteer.steering.selectors`.
        reduce: the mean of the selected tokens of a text, or the last of them.
        layers: layer numbers; None for all blocks.
        activations: what :func:`capture_pairs` gave for the same dataset, selector, reduce and
            layers; None to capture here.

    Raises:
        DatasetError: k is out of range, or activations are NaN or infinite, or were captured
            otherwise than is said here.
        SelectorError: a text has no selected token, or `reduce` is unknown.
        StudentError: a layer does not exist.
    """
    if activations is None:
        activations = capture_pairs(
            student, dataset, selector=selector, reduce=reduce, layers=layers
        )
    else:
        check_given(activations, 2 * len(dataset.pairs), layers, selector, reduce)
    bases = difference_subspace(activations, k)
    return Subspace(
        bases=dict(zip(activations.layers, bases, strict=True)),
        method="difference_subspace",
        selector=selector,
        concept=dataset.concept,
        dataset_id=dataset.id,
        student_fingerprint=student.fingerprint,
        notes={"reduce": reduce, "pairs": activations.n_pairs},
    )


def extract_class_subspace(
    student: Student,
    examples: Sequence[Example],
    levels: Sequence[str],
    concept: str,
    k: int | None = None,
    *,
    selector: str = "response",
    reduce: Reduce = "mean",
    layers: Sequence[int] | None = None,
) -> Subspace:
    """What the means of a concept's levels span.

    Args:
        levels: the level of each example.
        concept: what the levels are levels of.
        k: how many dimensions; one less than there are levels where None.
        selector: which tokens; see :mod:`selfsteer.steering.selectors`.
        reduce: the mean of the selected tokens of a text, or the last of them.
        layers: layer numbers; None for all blocks.

    Raises:
        DatasetError: levels that do not fit the examples or are all the same, k out of range or
            above the number of directions in which the means differ.
        SelectorError: a text has no selected token.
        StudentError: a layer does not exist.
    """
    given = Levels.of(examples, levels)
    activations = capture(student, examples, layers, selector, reduce)
    bases = class_mean_subspace(activations.values, given.labels, k)
    return Subspace(
        bases=dict(zip(activations.layers, bases, strict=True)),
        method="class_mean_subspace",
        selector=selector,
        concept=concept,
        dataset_id=given.dataset_id,
        student_fingerprint=student.fingerprint,
        notes={"reduce": reduce, "levels": given.names},
    )
