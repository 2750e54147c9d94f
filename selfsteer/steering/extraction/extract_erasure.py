"""From a student and its data to the erasure of a concept."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from selfsteer.steering.capture import Reduce, capture
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.extraction.activations import ContrastiveActivations, capture_pairs
from selfsteer.steering.extraction.erasure import Erasure
from selfsteer.steering.extraction.given import check_given
from selfsteer.steering.extraction.leace import Eraser, leace
from selfsteer.steering.extraction.levels import Levels
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example


def extract_erasure(
    student: Student,
    dataset: ContrastiveDataset,
    *,
    selector: str = "response",
    reduce: Reduce = "mean",
    layers: Sequence[int] | None = None,
    activations: ContrastiveActivations | None = None,
) -> Erasure:
    """LEACE of the two sides of a contrast.

    Args:
        selector: which tokens; see :mod:`selfsteer.steering.selectors`.
        reduce: the mean of the selected tokens of a text, or the last of them.
        layers: layer numbers; None for all blocks.
        activations: what :func:`capture_pairs` gave for the same dataset, selector, reduce and
            layers; None to capture here.

    Raises:
        DatasetError: the sides are the same at a layer, or activations are NaN or infinite, or
            were captured otherwise than is said here.
        SelectorError: a text has no selected token, or `reduce` is unknown.
        StudentError: a layer does not exist.
    """
    if activations is None:
        activations = capture_pairs(
            student, dataset, selector=selector, reduce=reduce, layers=layers
        )
    else:
        check_given(activations, 2 * len(dataset.pairs), layers, selector, reduce)
    pairs = activations.n_pairs
    values = torch.cat([activations.positive, activations.negative], dim=1)
    eraser = leace(values, [1] * pairs + [0] * pairs)
    return Erasure(
        *_in_order(activations.layers, eraser),
        method="leace",
        selector=selector,
        concept=dataset.concept,
        dataset_id=dataset.id,
        student_fingerprint=student.fingerprint,
        notes={"reduce": reduce, "pairs": pairs},
    )


def extract_class_erasure(
    student: Student,
    examples: Sequence[Example],
    levels: Sequence[str],
    concept: str,
    *,
    selector: str = "response",
    reduce: Reduce = "mean",
    layers: Sequence[int] | None = None,
) -> Erasure:
    """LEACE of a concept with any number of levels.

    Args:
        levels: the level of each example.
        concept: what the levels are levels of.
        selector: which tokens; see :mod:`selfsteer.steering.selectors`.
        reduce: the mean of the selected tokens of a text, or the last of them.
        layers: layer numbers; None for all blocks.

    Raises:
        DatasetError: levels that do not fit the examples or are all the same, or a layer at which
            their means differ in fewer directions than there are levels less one.
        SelectorError: a text has no selected token.
        StudentError: a layer does not exist.
    """
    given = Levels.of(examples, levels)
    found = capture(student, examples, layers, selector, reduce)
    eraser = leace(found.values, given.labels)
    return Erasure(
        *_in_order(found.layers, eraser),
        method="leace",
        selector=selector,
        concept=concept,
        dataset_id=given.dataset_id,
        student_fingerprint=student.fingerprint,
        notes={"reduce": reduce, "levels": given.names},
    )


def _in_order(layers: Sequence[int], eraser: Eraser) -> tuple[tuple[int, ...], Eraser]:
    """Both by ascending layer, in whatever order they were read."""
    order = sorted(range(len(layers)), key=lambda place: layers[place])
    maps = Eraser(eraser.mean[order], eraser.left[order], eraser.right[order])
    return tuple(layers[place] for place in order), maps
