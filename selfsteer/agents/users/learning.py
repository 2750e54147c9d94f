"""What is known of users at large: learned from those who consent, or from a simulated crowd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from selfsteer.agents.users.histories import history_of
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
    sharing = _sharing(memory)
    there = memory.users.pooled(KIND, student.fingerprint)
    if there is None or not _serves(there, sharing):
        encoder = _learn(memory, student, sharing, crowd, report)
    else:
        encoder = UserEncoder.from_bytes(memory.get_blob(KIND, there.artefact_id))
    return Known(encoder, trait_vectors(student, encoder, _named(memory, student, crowd)))


def _sharing(memory: Memory) -> dict[str, History]:
    found = {}
    for user_id in memory.users.consenting():
        history = history_of(memory.users.observations(user_id), shared_only=True)
        if len(history.turns) >= _MESSAGES:
            found[user_id] = history
    return found


def _serves(there: Pooled, sharing: Mapping[str, History]) -> bool:
    """Whether what was learned may be used, and nothing much better could be learned by now."""
    enough = len(sharing) if len(sharing) >= ENOUGH else 0
    return not there.stale and enough < max(ENOUGH, 2 * len(there.sources))


def _learn(
    memory: Memory,
    student: Student,
    sharing: Mapping[str, History],
    crowd: Crowd,
    report: Callable[[Progress], None],
) -> UserEncoder:
    own = len(sharing) >= ENOUGH
    histories = list(sharing.values()) if own else crowd.histories()
    encoder = fit_encoder(student, histories, report=report)
    artefact_id = memory.put_blob(
        KIND, encoder.to_bytes(), {"student_fingerprint": student.fingerprint}
    )
    memory.users.pool(
        artefact_id,
        list(sharing) if own else [],
        kind=KIND,
        settings={"users": len(histories), "simulated": not own, "layer": encoder.layer},
    )
    return encoder


def _named(memory: Memory, student: Student, crowd: Crowd) -> dict[str, Sequence[str]]:
    """Texts that show each trait: the crowd's, and what remembered vectors were made from.

    What was made for a user, or descends from one's vector, is that user's and no trait of others.
    """
    found = dict(crowd.traits())
    stored = {dataset.id for dataset in memory.artefacts("dataset")}
    for remembered in memory.remembered():
        if remembered.fingerprint != student.fingerprint:
            continue
        vector = memory.get_vector(remembered.vector_id)
        if vector.dataset_id not in stored or memory.users.owners(vector.id):
            continue
        texts = [pair.completion for pair in memory.get_dataset(vector.dataset_id).positives]
        texts = [text for text in texts if text.strip()]
        if len(texts) >= _TRAIT_MESSAGES:
            found[remembered.goal] = texts
    return found
