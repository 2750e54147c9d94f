"""From a student, texts and their design to a steering vector for each contrast."""

from __future__ import annotations

import math
from collections.abc import Sequence

from selfsteer.errors import DatasetError, VectorError
from selfsteer.steering.capture import Activations, Reduce, capture
from selfsteer.steering.datasets import content_id
from selfsteer.steering.extraction.activations import ROUNDING
from selfsteer.steering.extraction.design import Contrast, Design
from selfsteer.steering.extraction.factorial import FactorialFit, fit_factorial
from selfsteer.steering.extraction.given import check_given
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example
from selfsteer.steering.vectors import SteeringVector


def factorial_vectors(
    student: Student,
    examples: Sequence[Example],
    design: Design,
    *,
    contrasts: Sequence[Contrast] | None = None,
    selector: str = "response",
    reduce: Reduce = "mean",
    layers: Sequence[int] | None = None,
    activations: Activations | None = None,
) -> dict[Contrast, SteeringVector]:
    """A steering vector for each contrast, each with all else in the design held fixed.

    The notes of a vector hold ``standard_error``: for each layer the root of the summed squares of
    the coordinates' standard errors, which is how long the direction would typically be if the
    contrast did nothing; null where it is unknown.

    Args:
        examples: the texts that the design describes, in its order.
        contrasts: which ones; all of :meth:`Design.contrasts` where None.
        selector: which tokens; see :mod:`selfsteer.steering.selectors`.
        reduce: the mean of the selected tokens of a text, or the last of them.
        layers: layer numbers; None for all blocks.
        activations: what :func:`~selfsteer.steering.capture.capture` gave for the same examples,
            selector, reduce and layers; None to capture here.

    Raises:
        DatasetError: a number of texts that is not the design's, a contrast that the design has
            not or cannot tell from something else, activations that are NaN or were captured
            otherwise than is said here.
        SelectorError: a text has no selected token, or `reduce` is unknown.
        StudentError: a layer does not exist.
        VectorError: a contrast makes no difference at any layer.
    """
    if len(examples) != design.n_texts:
        raise DatasetError(f"The design describes {design.n_texts} texts, not {len(examples)}.")
    chosen = design.contrasts() if contrasts is None else list(contrasts)
    if activations is None:
        activations = capture(student, examples, layers, selector, reduce)
    else:
        check_given(activations, len(examples), layers, selector, reduce)
    fit = fit_factorial(activations.values, design)
    dataset_id = _data_id(examples, design)
    return {
        contrast: _vector(fit, contrast, activations, student, selector, reduce, dataset_id)
        for contrast in chosen
    }


def _vector(
    fit: FactorialFit,
    contrast: Contrast,
    activations: Activations,
    student: Student,
    selector: str,
    reduce: Reduce,
    dataset_id: str,
) -> SteeringVector:
    directions, errors = fit.contrast(contrast)
    norms = activations.norms.double().mean(dim=1)
    if bool((directions.norm(dim=-1) <= ROUNDING * norms).all()):
        raise VectorError(
            f"The contrast '{contrast}' makes no difference at the tokens of '{selector}', so "
            "there is no direction; select tokens that differ."
        )
    lengths = errors.norm(dim=-1).tolist()
    return SteeringVector(
        directions=dict(zip(activations.layers, directions, strict=True)),
        residual_norms=dict(zip(activations.layers, norms.tolist(), strict=True)),
        method="factorial",
        selector=selector,
        concept=str(contrast),
        dataset_id=dataset_id,
        student_fingerprint=student.fingerprint,
        notes={
            "reduce": reduce,
            "texts": fit.design.n_texts,
            "standard_error": {
                str(layer): None if math.isnan(length) else length
                for layer, length in zip(activations.layers, lengths, strict=True)
            },
        },
    )


def _data_id(examples: Sequence[Example], design: Design) -> str:
    """The id of the texts and the design together."""
    content = {
        "examples": [example.model_dump(mode="json") for example in examples],
        "attributes": dict(design.attributes),
        "items": list(design.items),
    }
    return content_id(content)
