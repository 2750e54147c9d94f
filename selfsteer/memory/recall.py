"""Plans that met a goal once, found again by the words of the goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from selfsteer.memory.connection import Connection, now
from selfsteer.memory.goals import content_terms, goal_key
from selfsteer.memory.records import Doubt, RecallHit, Remembered, to_json
from selfsteer.memory.users.ownership import theirs

# What a reader sees of a row: the search columns stay inside.
_COLUMNS = "id, run_id, vector_id, goal, plan, scores, fingerprint, supersedes, created"
_THIS, _OTHERS = "fingerprint = :fingerprint", "fingerprint != :fingerprint"
# What is a user's, by the run or by a vector in the plan, is for that user's runs only.
_OURS = (
    f"NOT EXISTS (SELECT 1 FROM ({theirs('remembered')}) AS theirs WHERE NOT EXISTS "
    "(SELECT 1 FROM run_users AS ours "
    "WHERE ours.run_id = :asking AND ours.user_id = theirs.user_id))"
)
# So one of a user's replaces none of everybody's.
_CURRENT = (
    "NOT EXISTS (SELECT 1 FROM remembered AS later WHERE later.supersedes = remembered.id "
    f"AND (NOT EXISTS ({theirs('later')}) OR EXISTS ({theirs('remembered')}))) "
    "AND vector_id NOT IN (SELECT artefact_id FROM quarantined)"
)


class Recall:
    """Accepted plans, to be tried again on later goals."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def remember(
        self,
        run_id: str,
        vector_id: str,
        *,
        goal: str,
        plan: Mapping[str, JsonValue],
        scores: Mapping[str, JsonValue],
        fingerprint: str,
        supersedes: int | None = None,
    ) -> Remembered:
        """Remember the plan by which a run met its goal: one a run, the first one stays.

        Args:
            run_id: the accepted run.
            vector_id: the (first) vector of the plan, already stored.
            goal: the goal in the person's words.
            plan: as ``Plan.describe`` gives it.
            scores: what it scored on confirmation probes.
            fingerprint: of the student.
            supersedes: the id of the record that this one replaces; that one is recalled no more.
        """
        row = {
            "run_id": run_id,
            "vector_id": vector_id,
            "goal": goal,
            "plan": to_json(dict(plan)),
            "scores": to_json(dict(scores)),
            "fingerprint": fingerprint,
            "supersedes": supersedes,
            "created": now(),
        }
        with self._connection.write():
            self._put(row)
            stored = self._connection.query(
                f"SELECT {_COLUMNS} FROM remembered WHERE run_id = ?", [run_id]
            )
        return Remembered.from_row(stored[0])

    def adopt(self, remembered: Remembered, supersedes: str | None) -> None:
        """Take over a plan of another memory, whose run is here already.

        Args:
            supersedes: the run whose plan this one replaced; of no account where it is not here.
        """
        earlier = self._connection.query("SELECT id FROM remembered WHERE run_id = ?", [supersedes])
        row = remembered.to_row() | {"supersedes": earlier[0]["id"] if earlier else None}
        del row["id"]
        self._put(row)

    def adopt_doubts(self, run_id: str, doubts: Sequence[Doubt]) -> None:
        """Take over the doubts about the plan of a run, of those doubting runs that are here."""
        with self._connection.write() as db:
            for doubt in doubts:
                row = doubt.to_row()
                row["remembered_id"] = run_id
                db.execute(
                    "INSERT INTO doubts (remembered_id, run_id, thresholds, scores, created) "
                    "SELECT remembered.id, runs.id, :thresholds, :scores, :created "
                    "FROM remembered, runs "
                    "WHERE remembered.run_id = :remembered_id AND runs.id = :run_id "
                    "ON CONFLICT DO NOTHING",
                    row,
                )

    def remembered(self) -> list[Remembered]:
        """Everything remembered, not superseded, with a sound vector, oldest first."""
        return self._listed(_CURRENT)

    def doubt(
        self,
        remembered_id: int,
        run_id: str,
        *,
        thresholds: Mapping[str, JsonValue],
        scores: Mapping[str, JsonValue],
    ) -> None:
        """Note that a run could not confirm a remembered plan: once a run, the first note stays.

        Args:
            thresholds: what was asked of it.
            scores: what it scored.
        """
        with self._connection.write() as db:
            db.execute(
                "INSERT INTO doubts (remembered_id, run_id, thresholds, scores, created) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [remembered_id, run_id, to_json(dict(thresholds)), to_json(dict(scores)), now()],
            )

    def doubts(self, remembered_id: int) -> list[Doubt]:
        """What speaks against a remembered plan, oldest first."""
        rows = self._connection.query(
            "SELECT * FROM doubts WHERE remembered_id = ? ORDER BY rowid", [remembered_id]
        )
        return [Doubt.from_row(row) for row in rows]

    def recall(
        self, goal: str, fingerprint: str, limit: int = 3, *, run_id: str | None = None
    ) -> list[RecallHit]:
        """Plans for this student that may meet ``goal``, the likeliest first.

        The same goal comes first, the newest of several; then goals that share content words, by
        BM25. A hit is a suggestion, to be confirmed on fresh probes before it is used.

        Args:
            run_id: the run that asks; plans of runs that were made for a user, and plans with a
                vector that descends from a user's, are given to runs for the same user only.
        """
        return self._search(goal, _THIS, fingerprint, limit, run_id)

    def stale(
        self, goal: str, fingerprint: str, limit: int = 3, *, run_id: str | None = None
    ) -> list[RecallHit]:
        """Like :meth:`recall`, for plans of *other* students: to be named, never to be applied."""
        return self._search(goal, _OTHERS, fingerprint, limit, run_id)

    def recallable(
        self, fingerprint: str, *, stale: bool = False, run_id: str | None = None
    ) -> list[Remembered]:
        """All that :meth:`recall` may find for this student, or :meth:`stale`, oldest first.

        Args:
            run_id: the run that asks, as in :meth:`recall`.
        """
        students = _OTHERS if stale else _THIS
        return self._listed(
            f"{students} AND {_OURS} AND {_CURRENT}", fingerprint=fingerprint, asking=run_id
        )

    def _listed(self, which: str, **values: str | None) -> list[Remembered]:
        rows = self._connection.query(
            f"SELECT {_COLUMNS} FROM remembered WHERE {which} ORDER BY id", values
        )
        return [Remembered.from_row(row) for row in rows]

    def _put(self, row: Mapping[str, Any]) -> None:
        """Add a row with the columns that it is searched by; the first one of a run stays."""
        goal = row["goal"]
        row = {**row, "goal_key": goal_key(goal), "terms": " ".join(content_terms(goal))}
        with self._connection.write() as db:
            db.execute(
                f"INSERT INTO remembered ({', '.join(row)}) "
                f"VALUES ({', '.join(f':{name}' for name in row)}) ON CONFLICT (run_id) DO NOTHING",
                row,
            )

    def _search(
        self, goal: str, students: str, fingerprint: str, limit: int, run_id: str | None
    ) -> list[RecallHit]:
        whose = f"{students} AND {_OURS}"
        values = {"fingerprint": fingerprint, "asking": run_id}
        key, terms = goal_key(goal), content_terms(goal)
        same = self._connection.query(
            f"SELECT {_COLUMNS}, 0.0 AS score FROM remembered WHERE goal_key = :key AND {whose} "
            f"AND {_CURRENT} ORDER BY id DESC LIMIT :limit",
            {**values, "key": key, "limit": limit},
        )
        alike = self._matches(terms, whose, values, key, limit - len(same))
        found = [self._having(term, alike) for term in terms]
        return [
            *(_hit(row, exact=True, coverage=1.0) for row in same),
            *(
                _hit(row, exact=False, coverage=sum(row["id"] in ids for ids in found) / len(terms))
                for row in alike
            ),
        ]

    def _matches(
        self, terms: list[str], whose: str, values: Mapping[str, Any], key: str, limit: int
    ) -> list[dict[str, Any]]:
        """Rows that share a term with a goal but are not the same goal, with their score."""
        if not terms or limit <= 0:
            return []
        return self._connection.query(
            f"SELECT {_COLUMNS}, -rank AS score FROM remembered_fts "
            "JOIN remembered ON remembered.id = remembered_fts.rowid "
            f"WHERE remembered_fts MATCH :query AND goal_key != :key AND {whose} AND {_CURRENT} "
            "ORDER BY rank, id DESC LIMIT :limit",
            {
                "query": " OR ".join(_quoted(term) for term in terms),
                **values,
                "key": key,
                "limit": limit,
            },
        )

    def _having(self, term: str, rows: list[dict[str, Any]]) -> set[int]:
        """Ids of those rows that have the term; the index knows the stems, we do not."""
        found = self._connection.query(
            "SELECT rowid AS id FROM remembered_fts WHERE remembered_fts MATCH ? "
            f"AND rowid IN ({', '.join('?' * len(rows))})",
            [_quoted(term), *(row["id"] for row in rows)],
        )
        return {row["id"] for row in found}


def _quoted(term: str) -> str:
    """A term as FTS5 takes it literally; terms are letters and digits only."""
    return f'"{term}"'


def _hit(row: dict[str, Any], *, exact: bool, coverage: float) -> RecallHit:
    columns = {name: value for name, value in row.items() if name != "score"}
    return RecallHit(
        remembered=Remembered.from_row(columns),
        exact=exact,
        score=row["score"],
        coverage=coverage,
    )
