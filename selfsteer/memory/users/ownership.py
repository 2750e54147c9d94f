"""Whose data a vector holds, by its line of descent."""

from __future__ import annotations

from selfsteer.memory.connection import Connection
from selfsteer.memory.users.observations import Scope

# The vector and its ancestors. What is pooled with consent ends the line: it is nobody's.
_LINE = (
    "WITH RECURSIVE line (id) AS ({roots} UNION SELECT parent.value FROM line "
    "JOIN artefacts ON artefacts.id = line.id, json_each(artefacts.meta, '$.parents') AS parent "
    "WHERE line.id NOT IN (SELECT artefact_id FROM pooled)) "
)
_OWNERS = (
    "SELECT user_id, scope FROM user_vectors WHERE vector_id IN (SELECT id FROM line) "
    "UNION ALL SELECT run_users.user_id, 'private' FROM run_users "
    "JOIN runs ON runs.id = run_users.run_id JOIN rounds ON rounds.run_id = runs.id "
    "JOIN artefacts ON artefacts.id = rounds.vector_id "
    "WHERE rounds.vector_id IN (SELECT id FROM line) AND artefacts.created >= runs.started"
)


def owners(connection: Connection, vector_id: str) -> dict[str, Scope]:
    """The users whose own vectors, or whose runs, a vector descends from, or is.

    Returns:
        for each, the strictest scope of what is theirs in it; what a run made is private.
    """
    rows = connection.query(
        f"{_LINE.format(roots='SELECT ?')}SELECT user_id, max(scope = 'private') AS private "
        f"FROM ({_OWNERS}) GROUP BY user_id ORDER BY user_id",
        [vector_id],
    )
    return {row["user_id"]: "private" if row["private"] else "shared" for row in rows}


def theirs(plan: str) -> str:
    """A SELECT of the users whom a row of `remembered` belongs to, as `user_id`.

    Those whose run remembered it, and those who own a vector of its plan as `owners` has it, also
    where the run itself was for nobody.

    Args:
        plan: what the row is called in the statement around it.
    """
    named = (
        f"SELECT {plan}.vector_id UNION SELECT atom FROM json_tree({plan}.plan) "
        "WHERE type = 'text' AND length(atom) = 16"
    )
    return (
        f"SELECT user_id FROM run_users WHERE run_id = {plan}.run_id "
        f"UNION ALL SELECT user_id FROM ({_LINE.format(roots=named)}{_OWNERS})"
    )


def is_pooled(connection: Connection, artefact_id: str) -> bool:
    """Whether an artefact was made from several users at once."""
    return bool(
        connection.query("SELECT 1 FROM pooled WHERE artefact_id = ? LIMIT 1", [artefact_id])
    )
