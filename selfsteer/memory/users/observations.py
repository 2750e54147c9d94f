"""What is observed of a user: typed, each with its place in a session, its source and its scope."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from selfsteer.memory.records import to_json

MOST_TEXT = 4 * 2**20
"""Bytes of UTF-8 that one text may have."""

_ID_LENGTH = 32  # hex digits of the sha256; artefacts have 16, so that none is taken for another

Scope = Literal["private", "shared"]
Role = Literal["system", "user", "assistant"]


def _storable(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError("text must be valid Unicode, without half of a surrogate pair") from error
    if size > MOST_TEXT:
        raise ValueError(f"one text may have {MOST_TEXT} bytes, not {size}")
    return text


Text = Annotated[str, AfterValidator(_storable)]
Name = Annotated[Text, Field(min_length=1, max_length=200)]


class Turn(TypedDict):
    """A message of a prompt."""

    role: Role
    content: Text


class Observed(BaseModel):
    """What all observations have.

    Attributes:
        session: the conversation, or whatever else belongs together, within one user.
        order: the place in the session.
        source: how it came here: import, api, cli.
        scope: private stays with the user's own vector; shared may also enter what is pooled, if
            the user consents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    session: Name
    order: Annotated[int, Field(ge=0, lt=2**53)]
    source: Name
    scope: Scope = "private"


class Message(Observed):
    """A message of a conversation, by whomever."""

    kind: Literal["message"] = "message"
    role: Role
    content: Text


class Preference(Observed):
    """Of two replies the user chose one."""

    kind: Literal["preference"] = "preference"
    prompt: list[Turn]
    chosen: Text
    rejected: Text


class Rating(Observed):
    """The user gave a reply a number; more is better."""

    kind: Literal["rating"] = "rating"
    prompt: list[Turn]
    reply: Text
    rating: Annotated[float, Field(allow_inf_nan=False)]


class Edit(Observed):
    """The user changed a reply."""

    kind: Literal["edit"] = "edit"
    prompt: list[Turn]
    before: Text
    after: Text


class Acceptance(Observed):
    """The user took a reply as it was, or had another one made."""

    kind: Literal["acceptance"] = "acceptance"
    prompt: list[Turn]
    reply: Text
    accepted: bool


Observation = Annotated[
    Message | Preference | Rating | Edit | Acceptance, Field(discriminator="kind")
]
OBSERVATION: TypeAdapter[Observation] = TypeAdapter(Observation)
KINDS = ("message", "preference", "rating", "edit", "acceptance")
Kind = Literal["message", "preference", "rating", "edit", "acceptance"]

_COLUMNS = {"session", "order", "source", "scope", "kind"}


def content_of(observation: Observation) -> dict[str, Any]:
    """What was observed, without where and how."""
    return observation.model_dump(mode="json", exclude=_COLUMNS)


def observation_id(user_id: str, observation: Observation) -> str:
    """The name of an observation: the same words of another user, or elsewhere, are another one.

    How it came here does not count, so that an import of what is known by the API adds nothing.
    """
    named = [
        *(user_id, observation.session, observation.order, observation.kind, observation.scope),
        content_of(observation),
    ]
    return hashlib.sha256(to_json(named).encode()).hexdigest()[:_ID_LENGTH]
