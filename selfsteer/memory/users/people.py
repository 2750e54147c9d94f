"""Who the users are, and what they agreed to."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from selfsteer.errors import UserError
from selfsteer.memory.connection import Connection, now
from selfsteer.memory.users.reach import made_with_pools
from selfsteer.memory.users.records import User

_LONGEST = 200  # characters of an id

_SELECT = (
    "SELECT id, created, coalesce((SELECT granted FROM consents WHERE user_id = users.id "
    "ORDER BY sequence DESC LIMIT 1), 0) AS consents FROM users"
)


class People:
    """Users and their consents."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def transaction(self) -> AbstractContextManager[object]:
        """Make several writes one: all are on disk when the block ends, or none ever."""
        return self._connection.write()

    def add(self, user_id: str, *, consents: bool = False) -> User:
        """Put a user on record; one who is there already stays as they are.

        Raises:
            UserError: an id that is empty, too long, or holds what cannot be printed.
        """
        if not (0 < len(user_id) <= _LONGEST and user_id.isprintable() and user_id.strip()):
            raise UserError(
                f"The id of a user is 1 to {_LONGEST} printable characters, not "
                f"{user_id[: _LONGEST + 1]!a}."
            )
        with self._connection.write() as db:
            added = db.execute(
                "INSERT INTO users (id, created) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [user_id, now()],
            ).rowcount
            if added and consents:
                self.consent(user_id, True)
            return self.get(user_id)

    def get(self, user_id: str) -> User:
        """A user as they stand.

        Raises:
            UserError: unknown.
        """
        rows = self._connection.query(f"{_SELECT} WHERE id = ?", [user_id])
        if not rows:
            raise UserError(f"The memory {self._connection.path} knows no user {user_id!a}.")
        counted = self._connection.query(
            "SELECT kind, count(*) AS number FROM observations WHERE user_id = ? GROUP BY kind",
            [user_id],
        )
        return _user(rows[0], {row["kind"]: row["number"] for row in counted})

    def all(self) -> list[User]:
        """Every user, in the order in which they came."""
        counts: dict[str, dict[str, int]] = {}
        for row in self._connection.query(
            "SELECT user_id, kind, count(*) AS number FROM observations GROUP BY user_id, kind"
        ):
            counts.setdefault(row["user_id"], {})[row["kind"]] = row["number"]
        rows = self._connection.query(f"{_SELECT} ORDER BY created, rowid")
        return [_user(row, counts.get(row["id"], {})) for row in rows]

    def consent(self, user_id: str, granted: bool) -> tuple[str, ...]:
        """Put on record whether what a user shares may be pooled with that of others.

        Once it is withdrawn, what was pooled from the user is stale.

        Returns:
            the versions of other users that were made with something that is stale by this; they
            stay, and are due to be derived again.

        Raises:
            UserError: unknown.
        """
        with self._connection.write() as db:
            self.get(user_id)
            db.execute(
                "INSERT INTO consents (user_id, granted, time) VALUES (?, ?, ?)",
                [user_id, int(granted), now()],
            )
            if granted:
                return ()
            db.execute(
                "UPDATE pooled SET stale = 1 WHERE stale = 0 AND id IN "
                "(SELECT pooled_id FROM pooled_sources WHERE user_id = ?)",
                [user_id],
            )
            return tuple(sorted(made_with_pools(self._connection, [user_id])))

    def consenting(self) -> list[str]:
        """The ids of the users who consent, in the order in which they came."""
        rows = self._connection.query(
            f"SELECT id FROM ({_SELECT} ORDER BY created, rowid) WHERE consents = 1"
        )
        return [row["id"] for row in rows]


def _user(row: dict[str, Any], counts: dict[str, int]) -> User:
    return User(id=row["id"], created=row["created"], consents=bool(row["consents"]), counts=counts)
