"""What is known of users, typed. Times are ISO text in UTC."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from selfsteer.memory.users.observations import Observation, Scope

VersionStatus = Literal["held", "in_use", "retired"]


class _Known(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class User(_Known):
    """Somebody with a vector of their own.

    Attributes:
        consents: whether what is shared may enter what is pooled, as was said last.
        counts: observations by kind; kinds that are missing have none.
    """

    id: str
    created: str
    consents: bool
    counts: dict[str, int]


class StoredObservation(_Known):
    """An observation with its name in memory."""

    id: str
    observation: Observation
    created: str


class UserVector(_Known):
    """One version of a user's vector; a later one takes its place and never changes it.

    Attributes:
        id: of the version.
        vector_id: the artefact.
        fingerprint: of the student.
        method, settings: how it was derived.
        plan: how it is applied.
        evidence: ids of the observations that it came from.
        scope: private as soon as one of its sources is.
        supersedes: the version before it of the same user, student and method.
        status: held until it has proved itself, then in use, then retired.
        scores, reason: what was said when it came to this status.
    """

    id: str
    user_id: str
    vector_id: str
    fingerprint: str
    method: str
    settings: dict[str, JsonValue]
    plan: dict[str, JsonValue]
    evidence: tuple[str, ...]
    scope: Scope
    supersedes: str | None
    status: VersionStatus
    scores: dict[str, JsonValue]
    reason: str
    created: str


class Pooled(_Known):
    """Something made from several users at once.

    Attributes:
        artefact_id: the artefact; one that is stale may be gone.
        kind: population, basis, or whatever else.
        fingerprint: of the student.
        sources: ids of the users in it, as far as they are known still.
        stale: one of them was forgotten or withdrew consent, so that it has to be made anew.
    """

    id: int
    artefact_id: str
    kind: str
    fingerprint: str
    sources: tuple[str, ...]
    settings: dict[str, JsonValue]
    stale: bool
    created: str


class Forgotten(_Known):
    """What was removed with a user.

    Attributes:
        observations, versions: how many rows.
        artefacts: ids of the vectors, datasets and replies that were deleted.
        runs: ids of the runs that were deleted, because they were made for the user or name a
            vector that was.
        stale: ids of what was pooled from the user among others, and has to be made anew.
        touched: versions of other users that were made with something pooled that is stale now;
            they stay, and are due to be derived again.
        files: that were deleted.
        cleaned: files of checkpoints and backups that the user was taken out of.
        remains: what could not be reached, a sentence each; empty when nothing is left.
    """

    user_id: str
    observations: int
    versions: int
    artefacts: tuple[str, ...]
    runs: tuple[str, ...]
    stale: tuple[int, ...]
    touched: tuple[str, ...]
    files: tuple[str, ...]
    cleaned: tuple[str, ...]
    remains: tuple[str, ...]
