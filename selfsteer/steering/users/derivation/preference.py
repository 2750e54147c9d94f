"""Chosen minus rejected: what the replies that the user preferred have and the others have not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from selfsteer.errors import DatasetError
from selfsteer.steering.capture import capture
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.model import Student
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import TURN
from selfsteer.steering.users.replies import reply_row
from selfsteer.steering.users.shrinkage import kept_share, recency_weights
from selfsteer.steering.vectors import SteeringVector

# As many choices as this count half of what very many would.
_HALF_KNOWN = 3.0


@dataclass(frozen=True)
class _Pair:
    """A reply that the user liked better than another, and what the pair counts."""

    chosen: Encoded
    rejected: Encoded
    weight: float


def preference(
    student: Student, history: History, known: Known, half_life: float | None
) -> SteeringVector:
    """The mean over choices of the chosen reply's activation less the rejected one's.

    Ratings count too, as a choice between a reply rated above the user's median and one below.
    With n of both the difference counts n / (n + 3), where n is what they are worth by their age
    and by how they agree: choices that point apart count for fewer.

    Args:
        half_life: choices, or ratings, after which one counts half.

    Raises:
        DatasetError: a user without choices or different ratings.
    """
    pairs = [
        *_chosen_pairs(student, history, half_life),
        *_rated_pairs(student, history, half_life),
    ]
    if not pairs:
        raise DatasetError(
            "Method 'preference' needs choices, or ratings that differ, of the user; there are "
            "none."
        )
    encoder = known.encoder
    layers = sorted({encoder.layer, encoder.read_layer})
    sides = [*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)]
    read = capture(student, sides, layers)
    apart = dict(zip(layers, map(_halves_apart, read.values), strict=True))
    weights = torch.tensor([pair.weight for pair in pairs], dtype=torch.float64)
    # Of two messages the difference varies twice as much as one of them; no mean is taken off.
    measured = apart[encoder.read_layer] @ encoder.space.axes.mT / math.sqrt(2)
    count = encoder.space.evidence(measured, weights)
    mean = (weights / weights.sum()) @ apart[encoder.layer]
    sources = [name for c in history.choices for name in c.sources]
    sources += [r.source for r in history.ratings]
    return SteeringVector(
        directions={encoder.layer: (mean * kept_share(count, _HALF_KNOWN)).float()},
        residual_norms={encoder.layer: float(read.norms[layers.index(encoder.layer)].mean())},
        method="user_preference",
        selector=TURN,
        concept="what a user prefers",
        dataset_id="",
        student_fingerprint=student.fingerprint,
        notes={
            "encoder": encoder.id,
            "pairs": len(pairs),
            "worth": round(count, 4),
            "sources": [source for source in sources if source],
        },
    )


def _chosen_pairs(student: Student, history: History, half_life: float | None) -> list[_Pair]:
    weights = recency_weights(len(history.choices), half_life).tolist()
    return [
        _Pair(reply_row(student, c.prompt, c.chosen), reply_row(student, c.prompt, c.rejected), w)
        for c, w in zip(history.choices, weights, strict=True)
    ]


def _rated_pairs(student: Student, history: History, half_life: float | None) -> list[_Pair]:
    """Replies rated above the median with replies below it, the best with the worst.

    A pair is as old as its two ratings are on average.
    """
    if not history.ratings:
        return []
    weights = recency_weights(len(history.ratings), half_life).tolist()
    aged = list(zip(history.ratings, weights, strict=True))
    middle = median(rated.rating for rated in history.ratings)
    ordered = sorted(aged, key=lambda one: -one[0].rating)
    above = [one for one in ordered if one[0].rating > middle]
    below = [one for one in reversed(ordered) if one[0].rating < middle]
    return [
        _Pair(
            reply_row(student, best.prompt, best.reply),
            reply_row(student, worst.prompt, worst.reply),
            math.sqrt(new * old),
        )
        for (best, new), (worst, old) in zip(above, below, strict=False)
    ]


def _halves_apart(values: Tensor) -> Tensor:
    """[n, D] float64, the first half of rows [2 n, D] less the second."""
    chosen, rejected = values.double().cpu().chunk(2)
    return chosen - rejected
