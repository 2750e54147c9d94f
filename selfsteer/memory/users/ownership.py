"""Whose data a vector holds, by its line of descent."""

from __future__ import annotations

from selfsteer.memory.connection import Connection
from selfsteer.memory.users.observations import Scope

# The vector and its ancestors. What is pooled with consent ends the line: it is nobody's.
_LINE = (
    "WITH RECURSIVE line (id) AS (SELECT ? UNION SELECT parent.value FROM line "
    "JOIN artefacts ON artefacts.id = line.id, json_each(artefacts.meta, '$.parents') AS parent "
    "WHERE line.id NOT IN (SELECT artefact_id FROM pooled)) "
)


def owners(connection: Connection, vector_id: str) -> dict[str, Scope]:
    """The users whose own vectors, or whose runs, a vector descends from, or is.

    Returns:
        for each, the strictest scope of what is theirs in it; what a run made is private.
    """
    rows = connection.query(
        f"{_LINE} SELECT user_id, max(scope = 'private') AS private FROM ("
        "SELECT user_id, scope FROM user_vectors WHERE vector_id IN (SELECT id FROM line) "
        "UNION ALL SELECT run_users.user_id, 'private' FROM rounds "
        "JOIN runs ON runs.id = rounds.run_id JOIN artefacts ON artefacts.id = rounds.vector_id "
        "JOIN run_users ON run_users.run_id = runs.id "
        "WHERE rounds.vector_id IN (SELECT id FROM line) AND artefacts.created >= runs.started"
        ") GROUP BY user_id ORDER BY user_id",
        [vector_id],
    )
    return {row["user_id"]: "private" if row["private"] else "shared" for row in rows}


def is_pooled(connection: Connection, artefact_id: str) -> bool:
    """Whether an artefact was made from several users at once."""
    return bool(
        connection.query("SELECT 1 FROM pooled WHERE artefact_id = ? LIMIT 1", [artefact_id])
    )
