"""What may be wrong with the rows of users, beyond what the schema refuses."""

from __future__ import annotations

from collections.abc import Iterator

from selfsteer.errors import UserError
from selfsteer.memory.connection import Connection
from selfsteer.memory.users.observations import observation_id
from selfsteer.memory.users.observing import stored

_NEWEST = "SELECT version_id, status, max(sequence) FROM user_vector_statuses GROUP BY version_id"
_FAULTS = {
    "a version rests on what another user said": (
        "user_vector_evidence",
        "SELECT 1 FROM user_vector_evidence JOIN user_vectors ON user_vectors.id = version_id "
        "JOIN observations ON observations.id = observation_id "
        "WHERE user_vectors.user_id != observations.user_id",
    ),
    "a version is shared and rests on what is private": (
        "user_vectors",
        "SELECT 1 FROM user_vector_evidence JOIN user_vectors ON user_vectors.id = version_id "
        "JOIN observations ON observations.id = observation_id "
        "WHERE user_vectors.scope = 'shared' AND observations.scope = 'private'",
    ),
    "a version is not in use by its newest status, and is served": (
        "current_vectors",
        f"SELECT 1 FROM current_vectors LEFT JOIN ({_NEWEST}) AS newest "
        "ON newest.version_id = current_vectors.version_id WHERE status IS NOT 'in_use'",
    ),
    "a version is in use by its newest status, and is not served": (
        "user_vector_statuses",
        f"SELECT 1 FROM ({_NEWEST}) WHERE status = 'in_use' "
        "AND version_id NOT IN (SELECT version_id FROM current_vectors)",
    ),
    "an artefact that is not stale is missing": (
        "pooled",
        "SELECT 1 FROM pooled WHERE stale = 0 AND artefact_id NOT IN (SELECT id FROM artefacts)",
    ),
    "a user is in it who does not consent, and it is not stale": (
        "pooled",
        "SELECT 1 FROM pooled JOIN pooled_sources ON pooled_id = pooled.id WHERE stale = 0 "
        "AND coalesce((SELECT granted FROM consents WHERE consents.user_id = "
        "pooled_sources.user_id ORDER BY sequence DESC LIMIT 1), 0) = 0",
    ),
}


def user_faults(connection: Connection) -> Iterator[tuple[str, str]]:
    """Where something is wrong, and what; nothing is changed."""
    for what, (where, sql) in _FAULTS.items():
        if connection.query(f"{sql} LIMIT 1"):
            yield where, what
    for user in connection.query("SELECT id FROM users ORDER BY id"):
        yield from _altered(connection, user["id"])


def _altered(connection: Connection, user_id: str) -> Iterator[tuple[str, str]]:
    for row in connection.query("SELECT * FROM observations WHERE user_id = ?", [user_id]):
        try:
            name = observation_id(user_id, stored(row).observation)
        except UserError:
            name = ""
        if name != row["id"]:
            yield "observations", f"observation {row['id']} is not what its name says"
