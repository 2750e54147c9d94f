"""The vectors of a user: versions that never change, and what became of each."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from selfsteer.errors import UserError
from selfsteer.memory.connection import now
from selfsteer.memory.records import to_json
from selfsteer.memory.references import ids_in
from selfsteer.memory.users.observations import Scope
from selfsteer.memory.users.ownership import is_pooled, owners
from selfsteer.memory.users.people import People
from selfsteer.memory.users.records import UserVector, VersionStatus

_SELECT = (
    "SELECT version.id, version.user_id, version.vector_id, version.fingerprint, version.method, "
    "version.settings, version.plan, version.scope, version.supersedes, version.created, "
    "status.status, status.scores, status.reason, "
    "(SELECT json_group_array(observation_id) FROM (SELECT observation_id "
    "FROM user_vector_evidence JOIN observations ON observations.id = observation_id "
    "WHERE version_id = version.id ORDER BY sequence)) AS evidence "
    "FROM user_vectors AS version JOIN user_vector_statuses AS status ON status.sequence = "
    "(SELECT max(sequence) FROM user_vector_statuses WHERE version_id = version.id) "
)
_JSON = ("settings", "plan", "scores", "evidence")


class Versions(People):
    """The versions of the vectors of users."""

    def put_vector(
        self,
        user_id: str,
        vector_id: str,
        *,
        method: str,
        settings: Mapping[str, JsonValue],
        plan: Mapping[str, JsonValue],
        evidence: Sequence[str],
        scores: Mapping[str, JsonValue],
    ) -> UserVector:
        """Add a version, which is held until it is put in use.

        It supersedes the newest version of the same user, student and method, and takes the
        strictest scope of its sources: the observations, and versions that it descends from. One
        without evidence is private.

        Args:
            vector_id: of a stored vector.
            plan: how it is applied; of vectors it may name this one, and those of nobody.
            evidence: ids of the observations that it came from.

        Raises:
            UserError: an unknown user or vector, evidence that is not of this user, a vector that
                is pooled or holds what is another user's, or a plan that names such a one.
        """
        with self._connection.write() as db:
            self.get(user_id)
            fingerprint = self._fingerprint(vector_id)
            scopes = [
                *self._scopes(user_id, evidence),
                *self._own_scopes(user_id, vector_id, plan),
            ]
            name = secrets.token_hex(16)
            row = {
                "id": name,
                "user_id": user_id,
                "vector_id": vector_id,
                "fingerprint": fingerprint,
                "method": method,
                "settings": to_json(dict(settings)),
                "plan": to_json(dict(plan)),
                "scope": "shared" if evidence and set(scopes) == {"shared"} else "private",
                "supersedes": self._newest(user_id, fingerprint, method),
                "created": now(),
            }
            db.execute(
                f"INSERT INTO user_vectors ({', '.join(row)}) "
                f"VALUES ({', '.join(f':{column}' for column in row)})",
                row,
            )
            db.execute(
                "INSERT INTO user_vector_evidence (version_id, observation_id) "
                "SELECT DISTINCT ?, value FROM json_each(?)",
                [name, to_json(list(evidence))],
            )
            self._note(name, "held", scores, "")
            return self.version(name)

    def put_in_use(
        self, version_id: str, scores: Mapping[str, JsonValue], reason: str
    ) -> UserVector:
        """Apply a version from now on; the one in use for the same user and student is retired.

        Raises:
            UserError: there is no such version.
        """
        with self._connection.write() as db:
            version = self.version(version_id)
            there = self.current(version.user_id, version.fingerprint)
            if there is not None and there.id != version_id:
                self.retire(there.id, there.scores, f"version {version_id} took its place")
            db.execute(
                "INSERT INTO current_vectors (user_id, fingerprint, version_id) VALUES (?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                [version.user_id, version.fingerprint, version_id],
            )
            self._note(version_id, "in_use", scores, reason)
            return self.version(version_id)

    def retire(self, version_id: str, scores: Mapping[str, JsonValue], reason: str) -> UserVector:
        """Apply a version no more.

        Raises:
            UserError: there is no such version.
        """
        with self._connection.write() as db:
            self.version(version_id)
            db.execute("DELETE FROM current_vectors WHERE version_id = ?", [version_id])
            self._note(version_id, "retired", scores, reason)
            return self.version(version_id)

    def current(self, user_id: str, fingerprint: str) -> UserVector | None:
        """The version that is in use for a user and a student; also None for an unknown user."""
        rows = self._connection.query(
            f"{_SELECT} JOIN current_vectors AS current ON current.version_id = version.id "
            "WHERE current.user_id = ? AND current.fingerprint = ?",
            [user_id, fingerprint],
        )
        return _version(rows[0]) if rows else None

    def version(self, version_id: str) -> UserVector:
        """A version as it stands.

        Raises:
            UserError: there is no such version.
        """
        rows = self._connection.query(f"{_SELECT} WHERE version.id = ?", [version_id])
        if not rows:
            raise UserError(
                f"The memory {self._connection.path} holds no version {version_id!a} of a user's "
                "vector."
            )
        return _version(rows[0])

    def versions(self, user_id: str) -> list[UserVector]:
        """All versions of a user, oldest first.

        Raises:
            UserError: unknown user.
        """
        self.get(user_id)
        rows = self._connection.query(
            f"{_SELECT} WHERE version.user_id = ? ORDER BY version.sequence", [user_id]
        )
        return [_version(row) for row in rows]

    def _fingerprint(self, vector_id: str) -> str:
        rows = self._connection.query(
            "SELECT json_extract(meta, '$.student_fingerprint') AS fingerprint FROM artefacts "
            "WHERE id = ? AND kind = 'vector'",
            [vector_id],
        )
        if not rows:
            raise UserError(
                f"The memory {self._connection.path} holds no vector {vector_id}; store it first."
            )
        fingerprint: str = rows[0]["fingerprint"]
        return fingerprint

    def _scopes(self, user_id: str, evidence: Sequence[str]) -> list[Scope]:
        """The scopes of observations, which have to be the user's own."""
        rows = self._connection.query(
            "SELECT id, user_id, scope FROM observations "
            "WHERE id IN (SELECT value FROM json_each(?))",
            [to_json(list(evidence))],
        )
        own: dict[str, Scope] = {
            row["id"]: row["scope"] for row in rows if row["user_id"] == user_id
        }
        for name in evidence:
            if name not in own:
                raise UserError(
                    f"The observation {name!a} is not one of user {user_id!a}; the vector of a "
                    "user comes from that user's observations only."
                )
        return list(own.values())

    def _own_scopes(
        self, user_id: str, vector_id: str, plan: Mapping[str, JsonValue]
    ) -> list[Scope]:
        """The scopes of what the vectors in a version descend from, which has to be the user's."""
        scopes: list[Scope] = []
        for name in dict.fromkeys([vector_id, *ids_in(to_json(dict(plan)))]):
            if is_pooled(self._connection, name):
                raise UserError(
                    f"{name} is pooled from several users; the vector of a user and its plan may "
                    "be made with it, and not be it."
                )
            found = owners(self._connection, name)
            strangers = sorted(found.keys() - {user_id})
            if strangers:
                raise UserError(
                    f"The vector {name} holds what belongs to user {strangers[0]!a}; it cannot "
                    f"become a vector of user {user_id!a}."
                )
            scopes += found.values()
        return scopes

    def _newest(self, user_id: str, fingerprint: str, method: str) -> str | None:
        rows = self._connection.query(
            "SELECT id FROM user_vectors WHERE user_id = ? AND fingerprint = ? AND method = ? "
            "ORDER BY sequence DESC LIMIT 1",
            [user_id, fingerprint, method],
        )
        return rows[0]["id"] if rows else None

    def _note(
        self, version_id: str, status: VersionStatus, scores: Mapping[str, JsonValue], reason: str
    ) -> None:
        with self._connection.write() as db:
            db.execute(
                "INSERT INTO user_vector_statuses (version_id, status, scores, reason, time) "
                "VALUES (?, ?, ?, ?, ?)",
                [version_id, status, to_json(dict(scores)), reason, now()],
            )


def _version(row: dict[str, Any]) -> UserVector:
    return UserVector.model_validate(
        {name: json.loads(value) if name in _JSON else value for name, value in row.items()}
    )
