"""Steps 5 to 11: what was spent, runs that wait, doubts, batches, quarantine and search."""

from __future__ import annotations

from sqlite_utils import Database

from selfsteer.memory.migrations.steps import MIGRATIONS, forbid_updates

# What of a run is searched, once it is accepted; part of a step, and never edited either.
_RUN_TEXTS = (
    "INSERT INTO texts (kind, owner, text) VALUES ('goal', NEW.id, NEW.goal); "
    "INSERT INTO texts (kind, owner, text) "
    "SELECT 'reason', run_id, reason FROM rounds WHERE run_id = NEW.id;"
)


@MIGRATIONS()
def m005_ledger_of_what_was_spent(db: Database) -> None:
    """What a run has spent is read from here, also after a crash, so every row says what its call
    may cost at most (``expected``, from before its request left), and what it did cost (``usage``)
    once the reply was read: that comes after the reply is on record, and is written once too. A
    request that was turned away (``refused``) was not paid, so that a later resume may send it
    again. Rows of before this step keep their replies; their usage had no agreed form.
    """
    db.execute("CREATE TEMP TABLE kept AS SELECT * FROM ledger")
    db.execute("DROP TABLE ledger")
    db.execute("""
        CREATE TABLE ledger (
            key TEXT PRIMARY KEY,
            run_id TEXT NOT NULL REFERENCES runs (id),
            step TEXT NOT NULL,
            role TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            request_hash TEXT NOT NULL,
            request TEXT NOT NULL CHECK (json_valid(request)),
            expected TEXT NOT NULL CHECK (json_valid(expected)),
            status TEXT NOT NULL CHECK (status IN ('sent', 'refused', 'committed', 'parsed')),
            response TEXT,
            usage TEXT CHECK (usage IS NULL OR json_valid(usage)),
            sent TEXT NOT NULL,
            committed TEXT,
            parsed TEXT,
            CHECK ((status IN ('sent', 'refused')) = (response IS NULL))
        ) STRICT
    """)
    db.execute("CREATE INDEX ledger_by_run ON ledger (run_id, sent)")
    columns = (
        "key, run_id, step, role, attempt, request_hash, request, status, response, sent, "
        "committed, parsed"
    )
    db.execute(
        f"INSERT INTO ledger ({columns}, expected) SELECT {columns}, ? FROM kept ORDER BY rowid",
        ['{"cost":null,"tokens":0}'],
    )
    db.execute("DROP TABLE kept")
    db.execute("""
        CREATE TRIGGER ledger_keeps_replies BEFORE UPDATE OF response, request, expected ON ledger
        WHEN OLD.response IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'a reply that was paid for is never rewritten'); END
    """)
    db.execute("""
        CREATE TRIGGER ledger_keeps_usage BEFORE UPDATE OF usage ON ledger
        WHEN OLD.usage IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'what was paid for a reply is never rewritten'); END
    """)


@MIGRATIONS()
def m006_runs_that_wait(db: Database) -> None:
    """A run may wait for a person, which is neither running nor stopped; and it is bound to the
    model that its controller pays for, because another one would not have given the replies that
    the ledger replays. The table is made anew, because SQLite cannot change a CHECK; the rows that
    refer to it are checked when the transaction ends, by when they find what they refer to.
    """
    db.execute("PRAGMA defer_foreign_keys = ON")
    db.execute("CREATE TEMP TABLE kept AS SELECT * FROM runs")
    db.execute("DROP TABLE runs")
    db.execute("""
        CREATE TABLE runs (
            id TEXT PRIMARY KEY,
            goal TEXT NOT NULL,
            student TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            controller TEXT NOT NULL,
            model TEXT,
            seed INTEGER NOT NULL,
            settings TEXT NOT NULL CHECK (json_valid(settings)),
            status TEXT NOT NULL CHECK (status IN
                ('running', 'waiting', 'accepted', 'rejected', 'failed', 'stopped')),
            verdict TEXT CHECK (verdict IS NULL OR json_valid(verdict)),
            verdict_stored TEXT,
            started TEXT NOT NULL,
            finished TEXT,
            seconds REAL NOT NULL DEFAULT 0
        ) STRICT
    """)
    columns = (
        "id, goal, student, fingerprint, controller, seed, settings, status, verdict, "
        "verdict_stored, started, finished, seconds"
    )
    db.execute(f"INSERT INTO runs ({columns}) SELECT {columns} FROM kept ORDER BY rowid")
    db.execute("DROP TABLE kept")
    db.execute("CREATE INDEX runs_by_time ON runs (started)")
    db.execute("""
        CREATE TRIGGER runs_keep_what_was_asked
        BEFORE UPDATE OF id, goal, student, fingerprint, controller, model, seed, settings, started
        ON runs
        BEGIN SELECT RAISE(ABORT, 'what a run was asked to do is never rewritten'); END
    """)
    db.execute("""
        CREATE TRIGGER runs_keep_their_verdict
        BEFORE UPDATE OF verdict, verdict_stored ON runs WHEN OLD.verdict_stored IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'a verdict is final'); END
    """)


@MIGRATIONS()
def m007_doubts(db: Database) -> None:
    """A remembered plan that a later run could not confirm would be offered first to every run
    after it, and fail again. Remembered plans are never rewritten, so what speaks against one
    stands beside it: what was asked of it, and what it scored.
    """
    db.execute("""
        CREATE TABLE doubts (
            remembered_id INTEGER NOT NULL REFERENCES remembered (id),
            run_id TEXT NOT NULL REFERENCES runs (id),
            thresholds TEXT NOT NULL CHECK (json_valid(thresholds)),
            scores TEXT NOT NULL CHECK (json_valid(scores)),
            created TEXT NOT NULL,
            PRIMARY KEY (remembered_id, run_id)
        ) STRICT
    """)
    forbid_updates(db, "doubts")


@MIGRATIONS()
def m008_calls_in_batches(db: Database) -> None:
    """Calls may be handed in together and answered hours later. The batch and the place in it stand
    with each call, so that a process that comes after a crash fetches the answers instead of paying
    for them again.
    """
    db.execute(
        "ALTER TABLE ledger ADD COLUMN batch TEXT CHECK (batch IS NULL OR json_valid(batch))"
    )


@MIGRATIONS()
def m009_quarantine(db: Database) -> None:
    """A blob that was altered on disk must not be read, and cannot be deleted either: history
    refers to it, and its bytes may still tell what happened. So it stays where it is and is named
    here, and everything else is served. The same content may be stored again, which mends it; that
    is the one change of an artefact that is let through.
    """
    db.execute("""
        CREATE TABLE quarantined (
            artefact_id TEXT PRIMARY KEY REFERENCES artefacts (id) ON DELETE CASCADE,
            reason TEXT NOT NULL,
            noticed TEXT NOT NULL
        ) STRICT
    """)
    db.execute("DROP TRIGGER artefacts_are_never_rewritten")
    db.execute("""
        CREATE TRIGGER artefacts_are_never_rewritten BEFORE UPDATE ON artefacts
        WHEN NOT EXISTS (SELECT 1 FROM quarantined WHERE artefact_id = OLD.id)
        BEGIN SELECT RAISE(ABORT, 'artefacts are only ever added'); END
    """)
    db.execute("""
        CREATE TRIGGER artefacts_mended AFTER UPDATE ON artefacts
        BEGIN DELETE FROM quarantined WHERE artefact_id = NEW.id; END
    """)


@MIGRATIONS()
def m010_search(db: Database) -> None:
    """What a person searches: goals of accepted runs, the reasons given in them, and concepts of
    vectors. (Recall keeps its own index: it asks for content words only, of remembered goals only.)

    The texts are copied into a table of their own, because its rows keep their numbers when the
    file is vacuumed, and those of a table without an integer key need not. Triggers keep it true,
    whoever writes; what is deleted leaves it.
    """
    db.execute("""
        CREATE TABLE texts (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('goal', 'reason', 'concept')),
            owner TEXT NOT NULL,
            text TEXT NOT NULL
        ) STRICT
    """)
    db.execute("CREATE INDEX texts_by_owner ON texts (owner)")
    db.execute("""
        CREATE VIRTUAL TABLE texts_fts USING fts5 (
            text, content = 'texts', content_rowid = 'id',
            tokenize = 'porter unicode61 remove_diacritics 2'
        )
    """)
    for name, body in {
        "texts_indexed AFTER INSERT ON texts": (
            "INSERT INTO texts_fts (rowid, text) VALUES (NEW.id, NEW.text);"
        ),
        "texts_unindexed AFTER DELETE ON texts": (
            "INSERT INTO texts_fts (texts_fts, rowid, text) VALUES ('delete', OLD.id, OLD.text);"
        ),
        "runs_searched AFTER INSERT ON runs WHEN NEW.status = 'accepted'": _RUN_TEXTS,
        "runs_searched_once_accepted AFTER UPDATE OF status ON runs "
        "WHEN NEW.status = 'accepted' AND OLD.status != 'accepted'": _RUN_TEXTS,
        "rounds_searched AFTER INSERT ON rounds "
        "WHEN (SELECT status FROM runs WHERE id = NEW.run_id) = 'accepted'": (
            "INSERT INTO texts (kind, owner, text) VALUES ('reason', NEW.run_id, NEW.reason);"
        ),
        "vectors_searched AFTER INSERT ON artefacts "
        "WHEN NEW.kind = 'vector' AND json_extract(NEW.meta, '$.concept') IS NOT NULL": (
            "INSERT INTO texts (kind, owner, text) "
            "VALUES ('concept', NEW.id, json_extract(NEW.meta, '$.concept'));"
        ),
        "runs_left AFTER DELETE ON runs": (
            "DELETE FROM texts WHERE owner = OLD.id AND kind = 'goal';"
        ),
        "rounds_left AFTER DELETE ON rounds": (
            "DELETE FROM texts WHERE owner = OLD.run_id AND kind = 'reason' AND text = OLD.reason;"
        ),
        "vectors_left AFTER DELETE ON artefacts": (
            "DELETE FROM texts WHERE owner = OLD.id AND kind = 'concept';"
        ),
    }.items():
        db.execute(f"CREATE TRIGGER {name} BEGIN {body} END")
    db.execute("""
        INSERT INTO texts (kind, owner, text)
        SELECT 'goal', id, goal FROM runs WHERE status = 'accepted'
        UNION ALL SELECT 'reason', run_id, reason FROM rounds
            WHERE run_id IN (SELECT id FROM runs WHERE status = 'accepted')
        UNION ALL SELECT 'concept', id, json_extract(meta, '$.concept') FROM artefacts
            WHERE kind = 'vector' AND json_extract(meta, '$.concept') IS NOT NULL
    """)


@MIGRATIONS()
def m011_version_of_the_vectors(db: Database) -> None:
    """A process that keeps all directions in memory to compare with must learn cheaply when they
    are no longer all: counting the rows would take longer than the comparison.
    """
    db.execute("""
        CREATE TABLE vectors_version (
            id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL
        ) STRICT
    """)
    db.execute("INSERT INTO vectors_version (id, number) VALUES (1, 0)")
    for event in (
        "added AFTER INSERT ON artefacts WHEN NEW.kind = 'vector'",
        "deleted AFTER DELETE ON artefacts WHEN OLD.kind = 'vector'",
        "quarantined AFTER INSERT ON quarantined",
        "released AFTER DELETE ON quarantined",
    ):
        db.execute(
            f"CREATE TRIGGER vectors_{event} "
            "BEGIN UPDATE vectors_version SET number = number + 1; END"
        )
