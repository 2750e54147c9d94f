"""What is known of users at large: learned from those who consent, or from a simulated crowd."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from selfsteer.agents.users.histories import history_of
from selfsteer.errors import MemoryFileError
from selfsteer.memory.check import set_aside_if_altered
from selfsteer.memory.store import Memory
from selfsteer.memory.users import Pooled
from selfsteer.steering.model import Student
from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.users.fitting import Progress, fit_encoder
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.traits import trait_vectors

KIND = "user_encoder"
ENOUGH = 50
"""Users who consent and share, from which on their own messages are learned from."""

_MESSAGES = 4  # shared by each, at least
_TRAIT_MESSAGES = 5  # of a dataset, at least, for its concept to be a trait


@dataclass(frozen=True)
class Crowd:
    """A simulated population, for as long as too few users consent.

    Attributes:
        histories: makes its users; called only when they are needed.
        traits: messages that show each trait, by its name.
    """

    histories: Callable[[], Sequence[History]]
    traits: Callable[[], Mapping[str, Sequence[str]]]


def known_users(
    memory: Memory,
    student: Student,
    crowd: Crowd,
    *,
    report: Callable[[Progress], None] = lambda _: None,
) -> Known:
    """What is known of users at large, for a student; learned when it is not yet, or is stale.

    Users count who consent and shared four messages or more. With fifty of them the simulated crowd
    is not used; when their number has doubled since, it is learned again.

    Raises:
        MemoryFileError: the file cannot be read or written.
    """
    there = memory.users.pooled(KIND, student.fingerprint)
    usable = there is not None and _serves(there, memory.users.sharing(_MESSAGES))
    encoder = _stored(memory, there) if there is not None and usable else None
    if encoder is None:
        encoder = _learn(memory, student, crowd, report)
    return Known(encoder, trait_vectors(student, encoder, _named(memory, student, crowd)))


def _serves(there: Pooled, sharing: Sequence[str]) -> bool:
    """Whether what was learned may be used, and nothing much better could be learned by now."""
    enough = len(sharing) if len(sharing) >= ENOUGH else 0
    return not there.stale and enough < max(ENOUGH, 2 * len(there.sources))


def _stored(memory: Memory, there: Pooled) -> UserEncoder | None:
    """What was learned; None where it was altered on disk, which must not stop every user."""
    if not set_aside_if_altered(memory, there.artefact_id):
        return UserEncoder.from_bytes(memory.get_blob(KIND, there.artefact_id))
    warnings.warn(
        f"What was learned of users ({there.artefact_id} in {memory.path}) was altered on disk; "
        "it is learned again.",
        stacklevel=3,
    )
    return None


def _learn(
    memory: Memory, student: Student, crowd: Crowd, report: Callable[[Progress], None]
) -> UserEncoder:
    while True:
        sharing = memory.users.sharing(_MESSAGES)
        own = sharing if len(sharing) >= ENOUGH else []
        histories = [_shared(memory, user_id) for user_id in own] if own else crowd.histories()
        encoder = fit_encoder(student, histories, report=report)
        with memory.users.transaction():
            # Who was forgotten or withdrew while it was learned must not stay in it.
            if set(own) <= set(memory.users.sharing(_MESSAGES)):
                _keep(memory, student, encoder, own, len(histories))
                return encoder


def _shared(memory: Memory, user_id: str) -> History:
    return history_of(memory.users.observations(user_id), shared_only=True)


def _keep(
    memory: Memory, student: Student, encoder: UserEncoder, own: Sequence[str], users: int
) -> None:
    """Store what was learned together with who is in it: one without the other is never there."""
    artefact_id = memory.put_blob(
        KIND, encoder.to_bytes(), {"student_fingerprint": student.fingerprint}
    )
    memory.users.pool(
        artefact_id,
        own,
        kind=KIND,
        settings={
            "student": student.name,
            "users": users,
            "simulated": not own,
            "layer": encoder.layer,
        },
    )


def _named(memory: Memory, student: Student, crowd: Crowd) -> dict[str, Sequence[str]]:
    """Texts that show each trait: the crowd's, and what remembered vectors were made from.

    What was made for a user, or descends from one's vector, is that user's and no trait of others.
    """
    found = dict(crowd.traits())
    stored = {dataset.id for dataset in memory.artefacts("dataset")}
    for remembered in memory.recallable(student.fingerprint):
        try:
            vector = memory.get_vector(remembered.vector_id)
            if vector.dataset_id not in stored:
                continue
            positives = memory.get_dataset(vector.dataset_id).positives
        except MemoryFileError as error:
            warnings.warn(f"“{remembered.goal}” is no trait: {error}", stacklevel=3)
            continue
        texts = [pair.completion for pair in positives if pair.completion.strip()]
        if len(texts) >= _TRAIT_MESSAGES:
            found[remembered.goal] = texts
    return found
