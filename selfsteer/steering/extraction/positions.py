"""All-position contrastive activation addition, from a single contrast in the system prompt.

Two prompts are alike but for their system message. The shorter one is filled up to the length of
the longer, so that every later token stands at the same position on both sides: each position is
then a pair whose only difference is the concept, and the differences are averaged over all of them.
Source: the second seed's notebook "Extracting CAA steering vectors using all sequence positions".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from selfsteer.errors import DatasetError, SelectorError
from selfsteer.steering.capture import capture_tokens
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.extract import to_vector
from selfsteer.steering.extraction.mean_difference import mean_difference
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.vectors import SteeringVector


def all_position_vector(
    student: Student,
    positive_system: str,
    negative_system: str,
    prompt: Prompt | Example,
    *,
    concept: str | None = None,
    layers: Sequence[int] | None = None,
    selector: str = "all + special",
    filler: str = " ",
) -> SteeringVector:
    """The mean difference over all positions of one prompt under two system messages.

    Args:
        positive_system: system message that asks for the concept.
        negative_system: system message that asks for the opposite, or for nothing special.
        prompt: what comes after the system message; with a completion, its tokens count too.
        concept: name of the contrast; the positive system message where None.
        layers: layer numbers; None for all blocks.
        selector: which positions are averaged; all of them by default.
        filler: text whose tokens fill up the shorter system message.

    Raises:
        DatasetError: the system messages are the same, or the filler has no tokens.
        SelectorError: no token is selected, or not the same ones on both sides.
        StudentError: a layer does not exist.
        VectorError: the selected tokens come before the contrast, so that nothing differs.
    """
    item = prompt if isinstance(prompt, Example) else Example(prompt=prompt)
    sides = [
        Example(prompt=item.prompt.with_system(system), completion=item.completion)
        for system in (positive_system, negative_system)
    ]
    dataset = ContrastiveDataset(
        concept=positive_system if concept is None else concept,
        pairs=(ContrastivePair(positive=sides[0], negative=sides[1]),),
    )
    activations = _aligned_activations(student, sides, layers, selector, filler)
    return to_vector(
        mean_difference(activations),
        activations,
        student,
        dataset,
        method="all_positions",
        selector=selector,
        notes={"filler": filler, "positions": activations.n_pairs},
    )


def align(positive: Encoded, negative: Encoded, filler: list[int]) -> tuple[Encoded, Encoded]:
    """Fill up the shorter row behind its system message, so that all that follows lines up.

    In raw text, which has no system message, the filler goes to where the common ending begins. It
    takes the role of the token before it and is no special token.

    Raises:
        DatasetError: the rows are the same, or have no common ending, or the filler is empty.
    """
    if positive.ids == negative.ids:
        raise DatasetError("The two system messages are the same, so there is no contrast.")
    if not filler:
        raise DatasetError("The filler has no tokens in this student's vocabulary; give another.")
    ending = min(
        _common_ending(positive.ids, negative.ids),
        _after_system_message(positive),
        _after_system_message(negative),
    )
    if ending <= len(positive.ids) - positive.prompt_length:
        raise DatasetError(
            "The two prompts do not end alike, so that their tokens cannot be aligned; they should "
            "differ in their system message only."
        )
    width = max(len(positive.ids), len(negative.ids))
    return fill(positive, ending, width, filler), fill(negative, ending, width, filler)


def _aligned_activations(
    student: Student,
    sides: list[Example],
    layers: Sequence[int] | None,
    selector: str,
    filler: str,
) -> ContrastiveActivations:
    """One pair per selected position: ``[L, T, D]`` on each side."""
    filler_ids = encode(student, Example(prompt=Prompt.raw("a"), completion=filler))
    rows = align(
        encode(student, sides[0]),
        encode(student, sides[1]),
        filler_ids.ids[filler_ids.prompt_length :],
    )
    positive, negative = capture_tokens(student, rows, layers, selector)
    if positive.shape != negative.shape:
        raise SelectorError(
            f"Selector '{selector}' matches {positive.shape[1]} tokens under the one system "
            f"message and {negative.shape[1]} under the other; choose one that matches the same."
        )
    return ContrastiveActivations(
        layers=tuple(range(student.n_layers)) if layers is None else tuple(layers),
        positive=positive,
        negative=negative,
        residual_norms=(positive.norm(dim=-1) + negative.norm(dim=-1)).mean(dim=1) / 2,
    )


def _common_ending(first: list[int], second: list[int]) -> int:
    """How many tokens at the end are the same."""
    length = 0
    for a, b in zip(reversed(first), reversed(second), strict=False):
        if a != b:
            break
        length += 1
    return length


def _after_system_message(row: Encoded) -> int:
    """How many tokens follow the words of the system message; all of them where there is none."""
    words = [
        place
        for place, (role, special) in enumerate(zip(row.roles, row.special, strict=True))
        if role == "system" and not special
    ]
    return len(row.ids) - words[-1] - 1 if words else len(row.ids)


def fill(row: Encoded, ending: int, width: int, filler: list[int]) -> Encoded:
    """``row`` with filler before its last ``ending`` tokens, ``width`` tokens long."""
    missing = width - len(row.ids)
    at = len(row.ids) - ending
    fill = (filler * missing)[:missing]
    role = row.roles[max(at - 1, 0)]
    return replace(
        row,
        ids=row.ids[:at] + fill + row.ids[at:],
        prompt_length=row.prompt_length + missing,
        roles=row.roles[:at] + [role] * missing + row.roles[at:],
        special=row.special[:at] + [False] * missing + row.special[at:],
    )
