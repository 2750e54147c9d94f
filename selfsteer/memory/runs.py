"""The history of runs: what was asked, tried, found and concluded. Only ever added to."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from pydantic import JsonValue
from sqlite_utils import Database

from selfsteer.errors import MemoryFileError
from selfsteer.memory.connection import Connection, now
from selfsteer.memory.records import (
    Candidate,
    Event,
    Record,
    Round,
    Run,
    RunStatus,
    Split,
    Stretch,
    to_json,
)


def fresh_id() -> str:
    """An id for a new run."""
    return secrets.token_hex(4)


class Runs:
    """Runs with their rounds, candidates and events.

    Whatever a node of the loop adds has a key that it computes again when it runs again after a
    kill; what is on record already stays, and the second attempt adds nothing.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(
        self,
        goal: str,
        *,
        student: str,
        fingerprint: str,
        controller: str,
        seed: int,
        settings: Mapping[str, JsonValue],
        model: str | None = None,
        run_id: str | None = None,
        user_id: str | None = None,
    ) -> Run:
        """Open a run.

        Args:
            model: that the controller pays for.
            user_id: the user that it is made for: it is forgotten with the user.
            run_id: from `fresh_id`, where somebody has to know it before; None for a fresh one.
        """
        run = Run(
            id=run_id or fresh_id(),
            goal=goal,
            student=student,
            fingerprint=fingerprint,
            controller=controller,
            model=model,
            seed=seed,
            settings=dict(settings),
            started=now(),
        )
        with self._connection.write() as db:
            insert(db, "runs", run)
            if user_id is not None:
                db.execute(
                    "INSERT INTO run_users (run_id, user_id) VALUES (?, ?)", [run.id, user_id]
                )
        return run

    def adopt(
        self,
        run: Run,
        rounds: Sequence[Round],
        candidates: Sequence[Candidate],
        events: Sequence[Event],
    ) -> None:
        """Take over a run of another memory as it stands there, all of it or nothing."""
        with self._connection.write() as db:
            insert(db, "runs", run)
            for table, records in (
                ("rounds", rounds),
                ("candidates", candidates),
                ("events", events),
            ):
                for record in records:
                    insert(db, table, record)

    def get(self, run_id: str) -> Run:
        """A run as it stands.

        Raises:
            MemoryFileError: there is no such run.
        """
        rows = self._connection.query("SELECT * FROM runs WHERE id = ?", [run_id])
        if not rows:
            raise MemoryFileError(f"The memory {self._connection.path} holds no run {run_id}.")
        return Run.from_row(rows[0])

    def all(self) -> list[Run]:
        """Every run, newest first."""
        rows = self._connection.query("SELECT * FROM runs ORDER BY started DESC, rowid DESC")
        return [Run.from_row(row) for row in rows]

    def ended(self) -> set[str]:
        """The ids of the runs that came to their end."""
        rows = self._connection.query(
            "SELECT id FROM runs WHERE status IN ('accepted', 'rejected')"
        )
        return {row["id"] for row in rows}

    def with_vectors(self) -> dict[str, tuple[str, ...]]:
        """The runs of which a round ended with a vector, oldest first, by the vector's id."""
        rows = self._connection.query(
            "SELECT vector_id, run_id FROM rounds WHERE vector_id IS NOT NULL "
            "GROUP BY vector_id, run_id ORDER BY min(created), min(rounds.rowid)"
        )
        found: dict[str, tuple[str, ...]] = {}
        for row in rows:
            found[row["vector_id"]] = (*found.get(row["vector_id"], ()), row["run_id"])
        return found

    def store_verdict(self, run_id: str, verdict: Mapping[str, JsonValue]) -> Run:
        """Put the verdict on record; from then on report probes may be opened.

        A verdict is given once: a repeated call leaves the first one.
        """
        with self._connection.write() as db:
            db.execute(
                "UPDATE runs SET verdict = ?, verdict_stored = ? "
                "WHERE id = ? AND verdict_stored IS NULL",
                [to_json(dict(verdict)), now(), run_id],
            )
            return self.get(run_id)

    def finish(
        self,
        run_id: str,
        status: Stretch,
        *,
        seconds: float,
    ) -> Run:
        """End this stretch of a run, which took ``seconds``."""
        return self._move(run_id, status, finished=now(), seconds=seconds)

    def break_off(self, run_id: str, status: Stretch, *, seconds: float) -> bool:
        """End a stretch that an error broke off, unless the run is not on record as running.

        Whatever was being written by this thread is rolled back first.

        Returns:
            whether it was running.
        """
        self._connection.abandon()
        with self._connection.write() as db:
            rows = db.execute("SELECT 1 FROM runs WHERE id = ? AND status = 'running'", [run_id])
            running = bool(rows.fetchall())
            if running:
                self.finish(run_id, status, seconds=seconds)
        return running

    def resume(self, run_id: str) -> Run:
        """Open a run again that was stopped, waits, failed, or was killed while running.

        Raises:
            MemoryFileError: unknown, or ended with a verdict.
        """
        run = self.get(run_id)
        if run.status in ("accepted", "rejected"):
            raise MemoryFileError(
                f"Run {run_id} ended as {run.status}; there is nothing to resume."
            )
        return self._move(run_id, "running", finished=None, seconds=0.0)

    def add_round(self, turn: Round) -> None:
        """Append a round."""
        self._append("rounds", [turn])

    def rounds(self, run_id: str) -> list[Round]:
        """The rounds of a run, in order."""
        rows = self._connection.query(
            "SELECT * FROM rounds WHERE run_id = ? ORDER BY number", [run_id]
        )
        return [Round.from_row(row) for row in rows]

    def add_candidates(self, candidates: Sequence[Candidate]) -> None:
        """Append candidates, all or none.

        Raises:
            MemoryFileError: scores on report probes before the verdict is stored.
        """
        for run_id in {candidate.run_id for candidate in candidates if candidate.split == "report"}:
            if self.get(run_id).verdict_stored is None:
                raise MemoryFileError(
                    f"Run {run_id} has no verdict yet; report probes are opened only after it."
                )
        self._append("candidates", candidates)

    def candidates(self, run_id: str, split: Split | None = None) -> list[Candidate]:
        """The candidates of a run, in the order in which they were added."""
        rows = self._connection.query(
            "SELECT * FROM candidates WHERE run_id = :run AND split = coalesce(:split, split) "
            "ORDER BY rowid",
            {"run": run_id, "split": split},
        )
        return [Candidate.from_row(row) for row in rows]

    def add_event(
        self,
        run_id: str,
        kind: str,
        payload: Mapping[str, JsonValue],
        *,
        key: str | None = None,
    ) -> bool:
        """Append an event; with a ``key``, only if the run has no event of that key.

        Returns:
            whether it was added.
        """
        with self._connection.write() as db:
            added = db.execute(
                "INSERT INTO events (run_id, sequence, kind, key, payload, time) "
                "SELECT :run, 1 + coalesce(max(sequence), 0), :kind, :key, :payload, :time "
                "FROM events WHERE run_id = :run ON CONFLICT (run_id, key) DO NOTHING",
                {
                    "run": run_id,
                    "kind": kind,
                    "key": key,
                    "payload": to_json(dict(payload)),
                    "time": now(),
                },
            ).rowcount
        return bool(added)

    def events(self, run_id: str, after: int = 0) -> list[Event]:
        """What a run told after a sequence, in order; `history` has candidates and rounds too."""
        rows = self._connection.query(
            "SELECT * FROM events WHERE run_id = ? AND sequence > ? ORDER BY sequence",
            [run_id, after],
        )
        return [Event.from_row(row) for row in rows]

    def _move(self, run_id: str, status: RunStatus, *, finished: str | None, seconds: float) -> Run:
        with self._connection.write() as db:
            db.execute(
                "UPDATE runs SET status = ?, finished = ?, seconds = seconds + ? WHERE id = ?",
                [status, finished, seconds, run_id],
            )
            return self.get(run_id)

    def _append(self, table: str, records: Sequence[Round | Candidate]) -> None:
        created = now()
        with self._connection.write() as db:
            for record in records:
                insert(db, table, record.model_copy(update={"created": created}))


def insert(db: Database, table: str, record: Record) -> None:
    """Add a row, unless there is one of its key."""
    row = record.to_row()
    columns, slots = ", ".join(row), ", ".join("?" * len(row))
    db.execute(
        f"INSERT INTO {table} ({columns}) VALUES ({slots}) ON CONFLICT DO NOTHING",
        list(row.values()),
    )
