"""Taking the rows of users, and all that came from them, out of one file."""

from __future__ import annotations

from collections.abc import Collection

from sqlite_utils import Database

from selfsteer.memory.connection import Connection
from selfsteer.memory.records import to_json
from selfsteer.memory.references import mentioned
from selfsteer.memory.users.reach import Reach

_SET = "(SELECT value FROM json_each(:names))"
# In this order each row goes before what it refers to.
_BY_RUN = (
    f"DELETE FROM doubts WHERE run_id IN {_SET} OR remembered_id IN "
    f"(SELECT id FROM remembered WHERE run_id IN {_SET})",
    *(
        f"DELETE FROM {table} WHERE run_id IN {_SET}"
        for table in (
            *("remembered", "ledger", "events", "candidates", "rounds"),
            *("run_users", "written_files"),
        )
    ),
    f"DELETE FROM runs WHERE id IN {_SET}",
)
_VERSIONS = f"(SELECT id FROM user_vectors WHERE user_id IN {_SET})"
_BY_USER = (
    f"DELETE FROM user_vector_evidence WHERE version_id IN {_VERSIONS}",
    f"DELETE FROM user_vector_statuses WHERE version_id IN {_VERSIONS}",
    *(
        f"DELETE FROM {table} WHERE user_id IN {_SET}"
        for table in (
            *("current_vectors", "user_vectors", "observations", "consents"),
            *("pooled_sources", "run_users", "written_files"),
        )
    ),
    f"DELETE FROM users WHERE id IN {_SET}",
)
# A member or a text that is the id of a user, in whatever pool. In those that the user was in also
# a text that only holds it: elsewhere a short id would be found in words that have nothing to do
# with the user.
_SETTINGS = (
    "UPDATE pooled SET settings = '{}' WHERE EXISTS ("
    "SELECT 1 FROM json_tree(settings) AS node, json_each(:users) AS gone "
    "WHERE (node.type = 'text' AND node.atom = gone.value) OR node.key = gone.value "
    "OR (pooled.id IN (SELECT value FROM json_each(:pooled)) "
    "AND ((node.type = 'text' AND instr(node.atom, gone.value) > 0) "
    "OR (typeof(node.key) = 'text' AND instr(node.key, gone.value) > 0))))"
)


def erase(connection: Connection, reach: Reach) -> frozenset[str]:
    """Delete what is reached, in one transaction.

    The bytes are overwritten with zeros where they stood, and the indexes of full text are made
    anew, since they keep deleted words until they are merged. What the log of the file holds goes
    when the file is vacuumed.

    Returns:
        the ids of the artefacts that were deleted.

    Raises:
        MemoryFileError: the file cannot be written; nothing was deleted then.
    """
    connection.pragma("secure_delete = ON")
    with connection.write() as db:
        db.execute("PRAGMA defer_foreign_keys = ON")
        _release(connection, db, reach.runs)
        for statements, names in ((_BY_RUN, reach.runs), (_BY_USER, reach.users)):
            for statement in statements:
                _delete(db, statement, names)
        _delete(db, f"UPDATE pooled SET stale = 1 WHERE id IN {_SET}", reach.pooled)
        about = {"users": to_json(list(reach.users)), "pooled": to_json(list(reach.pooled))}
        db.execute(_SETTINGS, about)
        _delete(db, f"DELETE FROM artefacts WHERE id IN {_SET}", reach.artefacts)
        # Who else names them is told by a look at every text of the file.
        unused = reach.loose - mentioned(connection) if reach.loose else reach.loose
        _delete(db, f"DELETE FROM artefacts WHERE id IN {_SET}", unused)
        for index in ("texts_fts", "remembered_fts"):
            db.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")
    return reach.artefacts | unused


def _delete(db: Database, statement: str, names: Collection[str] | Collection[int]) -> None:
    db.execute(statement, {"names": to_json(list(names))})


def _release(connection: Connection, db: Database, runs: Collection[str]) -> None:
    """Let remembered plans stand for themselves that superseded one that goes.

    Rows of that table are never rewritten, so they are taken out and put in again.
    """
    rows = connection.query(
        "SELECT later.* FROM remembered AS later JOIN remembered AS gone "
        "ON later.supersedes = gone.id WHERE gone.run_id IN (SELECT value FROM json_each(:names)) "
        "AND later.run_id NOT IN (SELECT value FROM json_each(:names))",
        {"names": to_json(list(runs))},
    )
    for row in rows:
        db.execute("DELETE FROM remembered WHERE id = ?", [row["id"]])
        row["supersedes"] = None
        db.execute(
            f"INSERT INTO remembered ({', '.join(row)}) "
            f"VALUES ({', '.join(f':{name}' for name in row)})",
            row,
        )
