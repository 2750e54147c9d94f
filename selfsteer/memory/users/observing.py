"""Putting observations on record, and reading them back."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from pydantic import ValidationError

from selfsteer.errors import UserError
from selfsteer.memory.connection import now
from selfsteer.memory.records import to_json
from selfsteer.memory.users.observations import (
    OBSERVATION,
    Kind,
    Observation,
    content_of,
    observation_id,
)
from selfsteer.memory.users.people import People
from selfsteer.memory.users.records import StoredObservation


class Observing(People):
    """The observations of users."""

    def observe(self, user_id: str, observations: Iterable[Observation]) -> list[str]:
        """Add observations, all or none; what is on record already is not added again.

        Returns:
            the id of each, those that were there included.

        Raises:
            UserError: unknown user, or another observation of that kind at the same place.
        """
        with self._connection.write():
            self.get(user_id)
            return [self.put(user_id, one)[0] for one in observations]

    def put(self, user_id: str, observation: Observation) -> tuple[str, bool]:
        """Add one observation of a user who is known.

        Returns:
            its id, and whether it is new.

        Raises:
            UserError: another observation of that kind at the same place.
        """
        name = observation_id(user_id, observation)
        place = [user_id, observation.session, observation.order, observation.kind]
        row = [
            *(name, *place, observation.source, observation.scope),
            *(to_json(content_of(observation)), now()),
        ]
        with self._connection.write() as db:
            added = db.execute(
                "INSERT INTO observations (id, user_id, session, position, kind, source, scope, "
                "content, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                row,
            ).rowcount
            if not added:
                [there] = self._connection.query(
                    "SELECT id, scope FROM observations "
                    "WHERE user_id = ? AND session = ? AND position = ? AND kind = ?",
                    place,
                )
                if there["id"] != name:
                    raise UserError(
                        f"Session {observation.session!a} of user {user_id!a} has another "
                        f"{observation.kind} ({there['scope']}) at place {observation.order}; "
                        "nothing was added."
                    )
        return name, bool(added)

    def observations(
        self, user_id: str, kinds: Collection[Kind] | None = None
    ) -> list[StoredObservation]:
        """What was observed of a user, in the order in which it came to be on record.

        Within a session the places decide: what stands before something there came before it, also
        where it was put on record later. So a session that goes on after another one began has its
        new part behind that one.

        Args:
            kinds: None for all.

        Raises:
            UserError: unknown user.
        """
        self.get(user_id)
        rows = self._connection.query(
            "SELECT id, session, position, kind, source, scope, content, created, "
            "min(sequence) OVER (PARTITION BY session ORDER BY position DESC) AS came "
            "FROM observations WHERE user_id = ? ORDER BY came, position, sequence",
            [user_id],
        )
        return [stored(row) for row in rows if kinds is None or row["kind"] in kinds]

    def said(self, user_id: str) -> dict[str, list[str]]:
        """The messages of a user's sessions in order, each as the JSON that is stored of it.

        Without sessions that lack a message between two, or at the beginning.
        """
        found: dict[str, list[str]] = {}
        broken: set[str] = set()
        for row in self._connection.query(
            "SELECT session, position, content FROM observations "
            "WHERE user_id = ? AND kind = 'message' ORDER BY session, position",
            [user_id],
        ):
            messages = found.setdefault(row["session"], [])
            if row["position"] != len(messages):
                broken.add(row["session"])
            messages.append(row["content"])
        return {session: said for session, said in found.items() if session not in broken}

    def place_of(self, user_id: str, observation: Observation) -> int | None:
        """Where the same was observed in the same session before; None where it was not."""
        rows = self._connection.query(
            "SELECT position FROM observations WHERE user_id = ? AND session = ? AND kind = ? "
            "AND scope = ? AND content = ? ORDER BY position LIMIT 1",
            [
                *(user_id, observation.session, observation.kind, observation.scope),
                to_json(content_of(observation)),
            ],
        )
        return rows[0]["position"] if rows else None

    def next_order(self, user_id: str, session: str) -> int:
        """The first place behind everything that a session of a user has."""
        [row] = self._connection.query(
            "SELECT 1 + coalesce(max(position), -1) AS place FROM observations "
            "WHERE user_id = ? AND session = ?",
            [user_id, session],
        )
        place: int = row["place"]
        return place


def stored(row: dict[str, Any]) -> StoredObservation:
    """Read a row of the table.

    Raises:
        UserError: it was altered, so that it is no observation.
    """
    try:
        observation = OBSERVATION.validate_python(
            {
                **{name: row[name] for name in ("session", "kind", "source", "scope")},
                "order": row["position"],
                **json.loads(row["content"]),
            }
        )
    except ValidationError as error:
        raise UserError(
            f"The observation {row['id']} was altered on disk; restore the file from a backup."
        ) from error
    return StoredObservation(id=row["id"], observation=observation, created=row["created"])
