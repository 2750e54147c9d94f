"""Chosen minus rejected: what the replies that the user preferred have and the others have not."""

from __future__ import annotations

from statistics import median

from selfsteer.errors import DatasetError
from selfsteer.steering.capture import capture
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import TURN
from selfsteer.steering.users.replies import reply_row
from selfsteer.steering.users.shrinkage import recency_weights
from selfsteer.steering.vectors import SteeringVector

# As many choices as this count half of what very many would.
_HALF_KNOWN = 3.0


def preference(
    student: Student, history: History, known: Known, half_life: float | None
) -> SteeringVector:
    """The mean over choices of the chosen reply's activation less the rejected one's.

    Ratings count too, as a choice between a reply rated above the user's median and one below.
    With n of both the difference counts n / (n + 3).

    Raises:
        DatasetError: a user without choices or different ratings.
    """
    pairs = [(c.prompt, c.chosen, c.prompt, c.rejected) for c in history.choices]
    pairs += _rated_pairs(history)
    if not pairs:
        raise DatasetError(
            "Method 'preference' needs choices or ratings of the user; there are messages only."
        )
    layer = known.encoder.layer
    sides = [
        *(reply_row(student, prompt, chosen) for prompt, chosen, _, _ in pairs),
        *(reply_row(student, prompt, rejected) for _, _, prompt, rejected in pairs),
    ]
    read = capture(student, sides, [layer])
    values = read.values[0].double().cpu()
    weights = recency_weights(len(pairs), half_life)
    apart = (weights / weights.sum()) @ (values[: len(pairs)] - values[len(pairs) :])
    sources = [name for c in history.choices for name in c.sources]
    sources += [r.source for r in history.ratings]
    return SteeringVector(
        directions={layer: (apart * len(pairs) / (len(pairs) + _HALF_KNOWN)).float()},
        residual_norms={layer: float(read.norms.mean())},
        method="user_preference",
        selector=TURN,
        concept="what a user prefers",
        dataset_id="",
        student_fingerprint=student.fingerprint,
        notes={
            "encoder": known.encoder.id,
            "pairs": len(pairs),
            "sources": [source for source in sources if source],
        },
    )


def _rated_pairs(
    history: History,
) -> list[tuple[tuple[Message, ...], str, tuple[Message, ...], str]]:
    """Replies rated above the median with replies below it, the best with the worst."""
    if not history.ratings:
        return []
    middle = median(rated.rating for rated in history.ratings)
    ordered = sorted(history.ratings, key=lambda rated: -rated.rating)
    above = [rated for rated in ordered if rated.rating > middle]
    below = [rated for rated in reversed(ordered) if rated.rating < middle]
    return [(a.prompt, a.reply, b.prompt, b.reply) for a, b in zip(above, below, strict=False)]
