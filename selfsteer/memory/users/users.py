"""All that memory can do with users."""

from __future__ import annotations

from selfsteer.memory.users.forgetting import forget
from selfsteer.memory.users.observing import Observing
from selfsteer.memory.users.ownership import owners
from selfsteer.memory.users.pooling import Pooling
from selfsteer.memory.users.records import Forgotten
from selfsteer.memory.users.versions import Versions


class Users(Observing, Versions, Pooling):
    """Users with their observations and vectors.

    Every method that writes is one transaction, as everywhere in memory. A user who is not known
    is a `UserError` in all of them but `add`.
    """

    def owners(self, vector_id: str) -> list[str]:
        """The users whose vectors or runs a vector descends from, or is."""
        return list(owners(self._connection, vector_id))

    def forget(self, user_id: str) -> Forgotten:
        """Remove everything that came from a user, here and in the files that this memory lists.

        Raises:
            UserError: unknown.
            MemoryFileError: the file cannot be written; the user is still known then.
        """
        self.get(user_id)
        return forget(self._connection, user_id)
