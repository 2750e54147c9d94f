"""What came from the data of some users: how far forgetting them has to go.

From the users lead their versions, and the runs that were made for them, to vectors; from these the
lines of descent lead on to everything that was computed from them, and back to every run that names
one of these. What is pooled from the users among others goes too, with all that was made from it;
only the vectors of other users stay, and are told: they are due to be derived again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from selfsteer.memory.connection import Connection
from selfsteer.memory.records import to_json
from selfsteer.memory.references import ids_in, text_columns

_OF_RUNS = ("runs", "rounds", "candidates", "events", "ledger", "remembered")


@dataclass(frozen=True)
class Reach:
    """What is to go.

    Attributes:
        users, runs: ids.
        artefacts: ids of what was made from the users' data.
        loose: ids of other artefacts that only these name, or others too: to be looked at once the
            rows are gone.
        pooled: ids of rows of what is pooled; they stay, and are stale.
        touched: ids of versions of other users that were made with something of these.
    """

    users: frozenset[str]
    runs: frozenset[str]
    artefacts: frozenset[str]
    loose: frozenset[str]
    pooled: frozenset[int]
    touched: frozenset[str]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to go."""
        return not (self.users or self.runs or self.artefacts)


@dataclass(frozen=True)
class _Descent:
    """The artefacts and their lines of descent; `of_others` are the users' versions, by vector."""

    kinds: dict[str, str]
    children: dict[str, list[str]]
    by_dataset: dict[str, list[str]]
    of_others: dict[str, list[str]]

    def below(self, roots: Iterable[str]) -> tuple[set[str], set[str]]:
        """The roots with all that descends from them, and the versions of others that do."""
        waiting = [name for name in roots if name in self.kinds]
        found, touched = set(waiting), set[str]()
        for name in waiting:
            for child in [*self.children.get(name, ()), *self.by_dataset.get(name, ())]:
                if child in self.of_others:
                    touched.update(self.of_others[child])
                elif child not in found:
                    found.add(child)
                    waiting.append(child)
        return found, touched


def reach_of(
    connection: Connection,
    user_ids: Collection[str],
    *,
    runs: Collection[str] = (),
    artefacts: Collection[str] = (),
) -> Reach:
    """How far the data of some users went.

    Args:
        runs, artefacts: that are known from elsewhere to go too; those that are not here do not
            count.
    """
    users = _ids(connection, "SELECT id FROM users WHERE id IN ({})", user_ids)
    if not (users or runs or artefacts):
        nothing = frozenset[str]()
        return Reach(nothing, nothing, nothing, nothing, frozenset(), nothing)
    made_for = _ids(connection, "SELECT run_id AS id FROM run_users WHERE user_id IN ({})", users)
    made_for |= _ids(connection, "SELECT id FROM runs WHERE id IN ({})", runs)
    pooled_in = _pooled_from(connection, users)
    pools = _rows(
        connection, "SELECT pooled_id AS id FROM pooled_sources WHERE user_id IN ({})", users
    )
    descent = _descent(connection, users)
    roots = {
        *_own(connection, users),
        *_made_by(connection, made_for),
        *pooled_in,
        *artefacts,
    }
    gone, touched = descent.below(roots - descent.of_others.keys())
    named_by = _naming(connection, gone, made_for)
    loose = _named(connection, users, named_by, gone)
    return Reach(
        users=frozenset(users),
        runs=frozenset(named_by),
        artefacts=frozenset(gone),
        loose=frozenset(
            name for name in loose if descent.kinds.get(name, "vector") != "vector"
        ).difference(gone),
        pooled=frozenset(row["id"] for row in pools)
        | {
            int(row["id"])
            for row in _rows(connection, "SELECT id FROM pooled WHERE artefact_id IN ({})", gone)
        },
        touched=frozenset(touched | _set_by(connection, gone | pooled_in, users)),
    )


def made_with_pools(connection: Connection, user_ids: Collection[str]) -> frozenset[str]:
    """The versions of other users that were made with what some users are pooled in.

    By descent, or because the settings of the version name it: what was learned of many users is no
    parent of the vectors that are read off it.
    """
    users = set(user_ids)
    pools = _pooled_from(connection, users)
    if not pools:
        return frozenset()
    _, touched = _descent(connection, users).below(pools)
    return frozenset(touched | _set_by(connection, pools, users))


def _pooled_from(connection: Connection, users: Collection[str]) -> set[str]:
    return _ids(
        connection,
        "SELECT artefact_id AS id FROM pooled JOIN pooled_sources ON pooled_id = pooled.id "
        "WHERE user_id IN ({})",
        users,
    )


def _set_by(connection: Connection, names: Collection[str], users: Collection[str]) -> set[str]:
    """The versions of other users whose settings name one of these artefacts."""
    rows = _rows(
        connection,
        "SELECT id, settings FROM user_vectors WHERE user_id NOT IN ({})",
        users,
    )
    return {row["id"] for row in rows if not set(names).isdisjoint(ids_in(row["settings"]))}


def _descent(connection: Connection, users: Collection[str]) -> _Descent:
    kinds: dict[str, str] = {}
    children: dict[str, list[str]] = {}
    by_dataset: dict[str, list[str]] = {}
    for row in connection.query(
        "SELECT id, kind, json_extract(meta, '$.parents') AS parents, "
        "json_extract(meta, '$.dataset_id') AS dataset FROM artefacts"
    ):
        kinds[row["id"]] = row["kind"]
        for parent in json.loads(row["parents"] or "[]"):
            children.setdefault(parent, []).append(row["id"])
        if row["dataset"]:
            by_dataset.setdefault(row["dataset"], []).append(row["id"])
    of_others: dict[str, list[str]] = {}
    for row in _rows(
        connection, "SELECT id, vector_id FROM user_vectors WHERE user_id NOT IN ({})", users
    ):
        of_others.setdefault(row["vector_id"], []).append(row["id"])
    return _Descent(kinds, children, by_dataset, of_others)


def _own(connection: Connection, users: Collection[str]) -> set[str]:
    """The users' vectors, and the data that those were read from which have no parents.

    A vector that was computed from others may carry the dataset of one of them, which is not the
    user's for that.
    """
    rows = _rows(
        connection,
        "SELECT DISTINCT artefacts.id, json_extract(meta, '$.dataset_id') AS dataset, "
        "json_array_length(meta, '$.parents') AS parents FROM user_vectors "
        "JOIN artefacts ON artefacts.id = vector_id WHERE user_id IN ({})",
        users,
    )
    return {row["id"] for row in rows} | {
        row["dataset"] for row in rows if row["dataset"] and not row["parents"]
    }


def _made_by(connection: Connection, runs: Collection[str]) -> set[str]:
    """The vectors and datasets that runs name and that were not there before them."""
    found: set[str] = set()
    for run_id in runs:
        named = _named_by_runs(connection, {run_id})
        found |= _ids(
            connection,
            "SELECT id FROM artefacts WHERE id IN ({}) AND kind IN ('vector', 'dataset') "
            "AND created >= (SELECT started FROM runs WHERE id = ?)",
            named,
            run_id,
        )
    return found


def _naming(connection: Connection, names: set[str], runs: Collection[str]) -> set[str]:
    """These runs, and all that name one of these artefacts."""
    found = set(runs)
    if not names:
        return found
    for table, column in text_columns(connection):
        if table in _OF_RUNS:
            owner = "id" if table == "runs" else "run_id"
            for row in connection.query(f"SELECT {owner} AS run, {column} AS text FROM {table}"):
                if row["run"] not in found and not names.isdisjoint(ids_in(row["text"] or "")):
                    found.add(row["run"])
    return found


def _named(
    connection: Connection, users: Collection[str], runs: Collection[str], gone: Collection[str]
) -> set[str]:
    """All ids that the users' versions, the runs and the artefacts name."""
    texts = [
        *_rows(
            connection,
            "SELECT settings || plan || scores AS text FROM user_vectors "
            "JOIN user_vector_statuses ON version_id = user_vectors.id WHERE user_id IN ({})",
            users,
        ),
        *_rows(connection, "SELECT meta AS text FROM artefacts WHERE id IN ({})", gone),
    ]
    return _named_by_runs(connection, runs).union(*(ids_in(row["text"]) for row in texts))


def _named_by_runs(connection: Connection, runs: Collection[str]) -> set[str]:
    found: set[str] = set()
    for table, column in text_columns(connection):
        if table in _OF_RUNS:
            owner = "id" if table == "runs" else "run_id"
            sql = f"SELECT {column} AS text FROM {table} WHERE {owner} IN ({{}})"
            found.update(*(ids_in(row["text"] or "") for row in _rows(connection, sql, runs)))
    return found


def _ids(connection: Connection, sql: str, names: Collection[str], *more: str) -> set[str]:
    return {row["id"] for row in _rows(connection, sql, names, *more)}


def _rows(
    connection: Connection, sql: str, names: Collection[str], *more: str
) -> list[dict[str, Any]]:
    """What a query gives whose only braces stand for a set of names."""
    slots = sql.format("SELECT value FROM json_each(?)")
    return connection.query(slots, [to_json(sorted(names)), *more])
