"""From the observations in memory to what a student reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from selfsteer.memory.users import (
    Acceptance,
    Edit,
    Preference,
    Rating,
    StoredObservation,
)
from selfsteer.memory.users import Message as ObservedMessage
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.history import Choice, History, Rated, Turn


def history_of(observations: Iterable[StoredObservation], *, shared_only: bool = False) -> History:
    """All that was observed of a user, in order.

    An edited reply is a choice of the edit over the reply; a reply that was regenerated is a choice
    of the accepted one to the same prompt over it, once there is one.

    Args:
        shared_only: leave out what is private, as for anything that is pooled.
    """
    kept = [one for one in observations if not shared_only or one.observation.scope == "shared"]
    return History(tuple(_turns(kept)), tuple(_choices(kept)), tuple(_ratings(kept)))


def _turns(observations: Sequence[StoredObservation]) -> Iterable[Turn]:
    said: dict[str, list[Message]] = {}
    for stored in observations:
        one = stored.observation
        if not isinstance(one, ObservedMessage):
            continue
        before = said.setdefault(one.session, [])
        if one.role == "user" and one.content.strip():
            yield Turn(one.content, tuple(before), stored.id, one.session)
        before.append(Message(role=one.role, content=one.content))


def _choices(observations: Sequence[StoredObservation]) -> Iterable[Choice]:
    accepted = {
        _messages(one.observation.prompt): (one.observation.reply, one.id)
        for one in observations
        if isinstance(one.observation, Acceptance) and one.observation.accepted
    }
    for stored in observations:
        one = stored.observation
        if isinstance(one, Preference):
            yield Choice(_messages(one.prompt), one.chosen, one.rejected, stored.id)
        elif isinstance(one, Edit):
            yield Choice(_messages(one.prompt), one.after, one.before, stored.id)
        elif isinstance(one, Acceptance) and not one.accepted and _messages(one.prompt) in accepted:
            chosen, by = accepted[_messages(one.prompt)]
            yield Choice(_messages(one.prompt), chosen, one.reply, stored.id, accepted=by)


def _ratings(observations: Sequence[StoredObservation]) -> Iterable[Rated]:
    for stored in observations:
        one = stored.observation
        if isinstance(one, Rating):
            yield Rated(_messages(one.prompt), one.reply, one.rating, stored.id)


def _messages(prompt: Sequence[object]) -> tuple[Message, ...]:
    return tuple(Message.model_validate(turn) for turn in prompt)
