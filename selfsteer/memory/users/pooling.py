"""What is made from several users at once, and who is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from selfsteer.errors import UserError
from selfsteer.memory.connection import now
from selfsteer.memory.records import to_json
from selfsteer.memory.users.ownership import owners
from selfsteer.memory.users.people import People
from selfsteer.memory.users.records import Pooled

# What `str.strip` takes away, so that a message without words is none here either.
BLANKS = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


class Pooling(People):
    """What is pooled: the population, bases, and the like."""

    def pool(
        self,
        artefact_id: str,
        sources: Sequence[str],
        *,
        kind: str,
        settings: Mapping[str, JsonValue],
    ) -> Pooled:
        """Put on record whose shared observations are in a stored artefact.

        Args:
            artefact_id: of a vector, or of another artefact whose meta has `student_fingerprint`.
            sources: ids of the users; none for what is simulated.
            kind: population, basis, or whatever else.

        Raises:
            UserError: an unknown user, one who does not consent or shared nothing; an artefact
                that is not stored, is of no student, or holds what is private or of another user.
        """
        with self._connection.write() as db:
            fingerprint = self._student_of(artefact_id)
            for user_id in sources:
                self._check_shared(user_id)
            for user_id, scope in owners(self._connection, artefact_id).items():
                if user_id not in sources or scope == "private":
                    raise UserError(
                        f"{artefact_id} holds what user {user_id!a} did not share; it cannot be "
                        "pooled."
                    )
            pooled_id = db.execute(
                "INSERT INTO pooled (artefact_id, kind, fingerprint, settings, created) "
                "VALUES (?, ?, ?, ?, ?)",
                [artefact_id, kind, fingerprint, to_json(dict(settings)), now()],
            ).lastrowid
            db.execute(
                "INSERT INTO pooled_sources (pooled_id, user_id) "
                "SELECT DISTINCT ?, value FROM json_each(?)",
                [pooled_id, to_json(list(sources))],
            )
            found = self.pooled(kind, fingerprint)
            assert found is not None
            return found

    def pooled(self, kind: str, fingerprint: str) -> Pooled | None:
        """The newest of a kind for a student, stale or not."""
        found = [one for one in self.newest(kind) if one.fingerprint == fingerprint]
        return found[0] if found else None

    def newest(self, kind: str) -> list[Pooled]:
        """The newest of a kind for each student, stale or not, the oldest first."""
        rows = self._connection.query(
            "SELECT id, artefact_id, kind, fingerprint, settings, stale, created, "
            "(SELECT json_group_array(user_id) FROM pooled_sources WHERE pooled_id = pooled.id) "
            "AS sources FROM pooled WHERE id IN "
            "(SELECT max(id) FROM pooled WHERE kind = ? GROUP BY fingerprint) ORDER BY id",
            [kind],
        )
        return [
            Pooled.model_validate(
                {
                    **row,
                    "settings": json.loads(row["settings"]),
                    "sources": json.loads(row["sources"]),
                    "stale": bool(row["stale"]),
                }
            )
            for row in rows
        ]

    def stale_pools(self, artefact_id: str) -> bool:
        """Whether all that was pooled as this artefact is stale; False for what is not pooled."""
        [row] = self._connection.query(
            "SELECT coalesce(min(stale), 0) AS stale FROM pooled WHERE artefact_id = ?",
            [artefact_id],
        )
        return bool(row["stale"])

    def sharing(self, fewest: int) -> list[str]:
        """The ids of users who consent and shared so many messages of their own with words in them.

        Counted by the database, because it is asked each time that something pooled is used.
        """
        rows = self._connection.query(
            "SELECT user_id FROM observations WHERE kind = 'message' AND scope = 'shared' "
            "AND json_extract(content, '$.role') = 'user' "
            "AND trim(json_extract(content, '$.content'), :blanks) != '' "
            "GROUP BY user_id HAVING count(*) >= :fewest",
            {"blanks": BLANKS, "fewest": fewest},
        )
        enough = {row["user_id"] for row in rows}
        return [user_id for user_id in self.consenting() if user_id in enough]

    def _student_of(self, artefact_id: str) -> str:
        rows = self._connection.query(
            "SELECT json_extract(meta, '$.student_fingerprint') AS fingerprint FROM artefacts "
            "WHERE id = ?",
            [artefact_id],
        )
        if not rows or not rows[0]["fingerprint"]:
            raise UserError(
                f"The memory {self._connection.path} holds no artefact {artefact_id} that says "
                "which student it is for (`student_fingerprint` in its meta)."
            )
        fingerprint: str = rows[0]["fingerprint"]
        return fingerprint

    def _check_shared(self, user_id: str) -> None:
        if not self.get(user_id).consents:
            raise UserError(
                f"User {user_id!a} did not consent that what they share is pooled with others'."
            )
        if not self._connection.query(
            "SELECT 1 FROM observations WHERE user_id = ? AND scope = 'shared' LIMIT 1", [user_id]
        ):
            raise UserError(
                f"User {user_id!a} shared nothing: only observations of scope shared are pooled."
            )
