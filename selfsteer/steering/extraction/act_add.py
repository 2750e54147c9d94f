"""ActAdd: one pair of prompts, subtracted position by position and added at the same positions.

The shorter prompt is filled up at its end, so that both have as many tokens. The difference at each
position is a direction of its own, and steering adds the n-th one at the n-th token of the prompt
that is to be steered, from its front.

Source: Turner et al., "Steering language models with activation engineering" (2023). Their layer l
is the input of block l, which is the output of block l - 1, our layer l - 1; their coefficient
multiplies the raw difference. Positions are counted in ordinary tokens, as selectors count them: a
start token stands on both sides alike, so that its difference is zero and it needs no edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfsteer.errors import DatasetError, SelectorError, VectorError
from selfsteer.steering.capture import capture_tokens
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.extract import to_vector
from selfsteer.steering.extraction.positions import fill
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.vectors import SteeringVector


@dataclass(frozen=True)
class PositionVector:
    """The difference at one position.

    Attributes:
        position: the place among the ordinary tokens of the prompt, from 0.
        vector: the raw difference there; its residual norms are those at this position.
    """

    position: int
    vector: SteeringVector


def act_add_vectors(
    student: Student,
    positive: str,
    negative: str,
    *,
    layers: Sequence[int] | None = None,
    filler: str = " ",
) -> list[PositionVector]:
    """The differences of two prompts, one vector for each position at which they differ.

    Args:
        positive: raw text that leans to the concept, such as "Love".
        negative: raw text that leans the other way, such as "Hate".
        layers: layer numbers; None for all blocks.
        filler: text whose tokens fill up the shorter prompt at its end.

    Raises:
        DatasetError: the prompts, filled up, have the same tokens, or the filler has none.
        SelectorError: a prompt has no ordinary tokens.
        StudentError: a layer does not exist.
    """
    sides = [Example(prompt=Prompt.raw(text)) for text in (positive, negative)]
    dataset = ContrastiveDataset(
        concept=f"{positive} - {negative}",
        pairs=(ContrastivePair(positive=sides[0], negative=sides[1]),),
    )
    rows = _equal_length(student, sides, filler)
    first, second = capture_tokens(student, rows, layers, "all")
    if first.shape != second.shape:
        raise SelectorError(
            "The two prompts differ in how many special tokens they hold, so that their positions "
            "do not match; give texts without special tokens."
        )
    chosen = tuple(range(student.n_layers)) if layers is None else tuple(layers)
    found = []
    for position in range(_same_start(rows), first.shape[1]):
        at = slice(position, position + 1)
        here = ContrastiveActivations(
            layers=chosen,
            positive=first[:, at],
            negative=second[:, at],
            residual_norms=(first[:, position].norm(dim=-1) + second[:, position].norm(dim=-1)) / 2,
        )
        if here.alike:
            continue
        vector = to_vector(
            here.differences()[:, 0],
            here,
            student,
            dataset,
            method="act_add",
            selector=f"prompt[{position}]",
            notes={"filler": filler, "position": position},
        )
        found.append(PositionVector(position, vector))
    return found


def act_add_plan(vectors: Sequence[PositionVector], layer: int, coefficient: float) -> Plan:
    """Add ``coefficient`` times the raw difference of each position at that position's token.

    A prompt that is shorter than the pair is steered at the positions that it has; tokens of the
    reply are left alone.

    Args:
        layer: the output of this block, -1 for the embedding output.
        coefficient: a raw multiplier, as in the paper; the edits state the same in residual norms.

    Raises:
        VectorError: the vectors have no such layer, or nothing differs there.
        PlanError: the coefficient is not finite.
    """
    edits = []
    for item in vectors:
        if layer not in item.vector.directions:
            raise VectorError(
                f"The ActAdd vectors have no layer {layer}; they have {list(item.vector.layers)}."
            )
        length = float(item.vector.directions[layer].double().norm())
        # At an early layer a token may not yet see what differs before it
        if length:
            strength = coefficient * length / item.vector.residual_norms[layer]
            selector = f"prompt[{item.position}]"
            edits.append(Edit(item.vector, (layer,), strength, "add", selector))
    if not edits:
        raise VectorError(f"The two prompts do not differ at layer {layer}; choose a later one.")
    return Plan(tuple(edits))


def _same_start(rows: Sequence[Encoded]) -> int:
    """How many ordinary tokens stand before the first that differs: they cannot see it."""
    pairs = zip(rows[0].ids, rows[1].ids, strict=True)
    differing = next(place for place, (one, other) in enumerate(pairs) if one != other)
    return differing - sum(rows[0].special[:differing])


def _equal_length(student: Student, sides: Sequence[Example], filler: str) -> list[Encoded]:
    rows = [encode(student, side) for side in sides]
    with_filler = encode(student, Example(prompt=Prompt.raw("a"), completion=filler))
    filler_ids = with_filler.ids[with_filler.prompt_length :]
    width = max(len(row.ids) for row in rows)
    if not filler_ids:
        raise DatasetError("The filler has no tokens in this student's vocabulary; give another.")
    filled = [fill(row, 0, width, filler_ids) for row in rows]
    if filled[0].ids == filled[1].ids:
        raise DatasetError(
            "The two prompts have the same tokens once the shorter is filled up, so there is no "
            "contrast."
        )
    return filled
