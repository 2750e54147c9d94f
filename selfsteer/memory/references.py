"""What refers to what: the ids of artefacts, wherever rows of the file name them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selfsteer.memory.connection import Connection
from selfsteer.memory.records import JSON_FIELDS

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")

# JSON keys whose value, or whose members, are ids of artefacts of the same file.
_NAMING = "vector vectors vector_id dataset dataset_id capability_id generations_id".split()


def broken_keys(connection: Connection) -> list[tuple[str, str]]:
    """Rows that refer by a foreign key to a row that is not there: table, and table missed."""
    rows = connection.query("PRAGMA foreign_key_check")
    return [(row["table"], row["parent"]) for row in rows]


def broken_names(connection: Connection) -> list[tuple[str, str]]:
    """Ids that JSON of the history names and that no artefact has: table and column, and the id.

    What a vector says of its own data and parents is left out: those of an imported one stand in
    the memory that it came from.
    """
    slots = ", ".join("?" * len(_NAMING))
    members = " OR ".join(["path GLOB ?"] * len(_NAMING))
    broken = []
    for table, column in text_columns(connection):
        if column not in JSON_FIELDS or table == "artefacts":
            continue
        rows = connection.query(
            f"SELECT DISTINCT value FROM {table}, json_tree({table}.{column}) AS node "
            f"WHERE node.type = 'text' AND length(value) = 16 AND (node.key IN ({slots}) "
            f"OR {members}) AND value NOT IN (SELECT id FROM artefacts)",
            [*_NAMING, *(f"*.{name}" for name in _NAMING)],
        )
        named = (row["value"] for row in rows)
        broken += [(f"{table}.{column}", name) for name in named if _ID.fullmatch(name)]
    return broken


def mentioned(connection: Connection) -> set[str]:
    """Everything that looks like the id of an artefact, in any text of any row.

    An id is 64 bits of a hash: a text that holds it means it. What an artefact says of itself does
    not count, what another says of it does.
    """
    found: set[str] = set()
    for table, column in text_columns(connection):
        own = "id" if table == "artefacts" else "NULL"
        if (table, column) in {("artefacts", "id"), ("quarantined", "artefact_id")}:
            continue
        for row in connection.query(f"SELECT {column} AS text, {own} AS own FROM {table}"):
            found.update(name for name in ids_in(row["text"] or "") if name != row["own"])
    return found


def ids_in(text: str) -> list[str]:
    """Everything in a text that looks like the id of an artefact."""
    return _ID.findall(text)


def text_columns(connection: Connection) -> Iterator[tuple[str, str]]:
    """Every text column of every table of ours; an index of full text is no table."""
    rows = connection.query(
        "SELECT tables.name AS name, columns.name AS column "
        "FROM pragma_table_list AS tables, pragma_table_info(tables.name) AS columns "
        "WHERE tables.type = 'table' AND tables.strict AND tables.schema = 'main' "
        "AND columns.type = 'TEXT' ORDER BY tables.name, columns.cid"
    )
    return ((row["name"], row["column"]) for row in rows)
