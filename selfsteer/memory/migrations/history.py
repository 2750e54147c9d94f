"""Steps 1 to 4: artefacts, the history of runs, what is remembered, and paid calls."""

from __future__ import annotations

from sqlite_utils import Database

from selfsteer.memory.migrations.steps import APPLICATION_ID, MIGRATIONS, forbid_updates


@MIGRATIONS()
def m001_artefacts(db: Database) -> None:
    """Vectors, datasets and generations are named by their content, so that a run refers to exactly
    what it used and the same thing is stored once. ``sha256`` covers the stored bytes; ``id`` may
    leave provenance times out, as that of a vector does. ``data`` stands last: SQLite then reads
    the other columns without walking through the blob.
    """
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("""
        CREATE TABLE artefacts (
            id TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            size INTEGER NOT NULL,
            meta TEXT NOT NULL CHECK (json_valid(meta)),
            created TEXT NOT NULL,
            data BLOB NOT NULL
        ) STRICT
    """)
    db.execute("CREATE INDEX artefacts_by_kind ON artefacts (kind, created)")
    forbid_updates(db, "artefacts")


@MIGRATIONS()
def m002_history(db: Database) -> None:
    """What a run did, appended and never rewritten; a run's row itself may only move on in status,
    verdict and time. Rounds, candidates and events have keys that the loop can compute again, so
    that a node that runs twice after a kill adds nothing.

    Report probes judge the verdict, so they may not be opened before it is on record: the database
    itself refuses their scores until then.
    """
    db.execute("""
        CREATE TABLE runs (
            id TEXT PRIMARY KEY,
            goal TEXT NOT NULL,
            student TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            controller TEXT NOT NULL,
            seed INTEGER NOT NULL,
            settings TEXT NOT NULL CHECK (json_valid(settings)),
            status TEXT NOT NULL
                CHECK (status IN ('running', 'accepted', 'rejected', 'failed', 'stopped')),
            verdict TEXT CHECK (verdict IS NULL OR json_valid(verdict)),
            verdict_stored TEXT,
            started TEXT NOT NULL,
            finished TEXT,
            seconds REAL NOT NULL DEFAULT 0
        ) STRICT
    """)
    db.execute("CREATE INDEX runs_by_time ON runs (started)")
    db.execute("""
        CREATE TRIGGER runs_keep_what_was_asked
        BEFORE UPDATE OF id, goal, student, fingerprint, controller, seed, settings, started ON runs
        BEGIN SELECT RAISE(ABORT, 'what a run was asked to do is never rewritten'); END
    """)
    db.execute("""
        CREATE TRIGGER runs_keep_their_verdict
        BEFORE UPDATE OF verdict, verdict_stored ON runs WHEN OLD.verdict_stored IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'a verdict is final'); END
    """)
    db.execute("""
        CREATE TABLE rounds (
            run_id TEXT NOT NULL REFERENCES runs (id),
            number INTEGER NOT NULL,
            dataset_id TEXT REFERENCES artefacts (id),
            vector_id TEXT REFERENCES artefacts (id),
            decision TEXT NOT NULL,
            reason TEXT NOT NULL,
            details TEXT NOT NULL CHECK (json_valid(details)),
            created TEXT NOT NULL,
            PRIMARY KEY (run_id, number)
        ) STRICT
    """)
    db.execute("""
        CREATE TABLE candidates (
            run_id TEXT NOT NULL REFERENCES runs (id),
            round INTEGER NOT NULL,
            split TEXT NOT NULL CHECK (split IN ('development', 'confirmation', 'report')),
            arm TEXT NOT NULL CHECK (arm IN ('steered', 'base', 'prompt_only')),
            number INTEGER NOT NULL,
            plan TEXT NOT NULL CHECK (json_valid(plan)),
            steerability REAL,
            coherence REAL,
            retention REAL,
            n INTEGER NOT NULL,
            details TEXT NOT NULL CHECK (json_valid(details)),
            generations_id TEXT REFERENCES artefacts (id),
            created TEXT NOT NULL,
            PRIMARY KEY (run_id, round, split, arm, number)
        ) STRICT
    """)
    db.execute("""
        CREATE TRIGGER report_probes_wait_for_the_verdict BEFORE INSERT ON candidates
        WHEN NEW.split = 'report'
            AND (SELECT verdict_stored FROM runs WHERE id = NEW.run_id) IS NULL
        BEGIN SELECT RAISE(ABORT, 'report probes are opened only after the verdict is stored'); END
    """)
    db.execute("""
        CREATE TABLE events (
            run_id TEXT NOT NULL REFERENCES runs (id),
            sequence INTEGER NOT NULL,
            kind TEXT NOT NULL,
            key TEXT,
            payload TEXT NOT NULL CHECK (json_valid(payload)),
            time TEXT NOT NULL,
            PRIMARY KEY (run_id, sequence),
            UNIQUE (run_id, key)
        ) STRICT
    """)
    for table in ("rounds", "candidates", "events"):
        forbid_updates(db, table)


@MIGRATIONS()
def m003_remembered(db: Database) -> None:
    """Which plan met which goal, to be found again by the words of the goal. ``goal_key`` is the
    whole goal without case and punctuation, for the same goal asked again; ``terms`` are its
    content words, for goals that are worded otherwise. A later plan points at the one it replaces.

    The index keeps stems (porter), so that "formally" finds "formal", and no second copy of the
    text (an external content table), so that what is deleted is gone.
    """
    db.execute("""
        CREATE TABLE remembered (
            id INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL UNIQUE REFERENCES runs (id),
            vector_id TEXT NOT NULL REFERENCES artefacts (id),
            goal TEXT NOT NULL,
            goal_key TEXT NOT NULL,
            terms TEXT NOT NULL,
            plan TEXT NOT NULL CHECK (json_valid(plan)),
            scores TEXT NOT NULL CHECK (json_valid(scores)),
            fingerprint TEXT NOT NULL,
            supersedes INTEGER REFERENCES remembered (id),
            created TEXT NOT NULL
        ) STRICT
    """)
    db.execute("CREATE INDEX remembered_by_goal ON remembered (goal_key)")
    db.execute("CREATE INDEX remembered_by_vector ON remembered (vector_id)")
    db.execute("CREATE INDEX remembered_superseded ON remembered (supersedes)")
    db.execute("""
        CREATE VIRTUAL TABLE remembered_fts USING fts5 (
            terms, content = 'remembered', content_rowid = 'id',
            tokenize = 'porter unicode61 remove_diacritics 2'
        )
    """)
    db.execute("""
        CREATE TRIGGER remembered_indexed AFTER INSERT ON remembered
        BEGIN INSERT INTO remembered_fts (rowid, terms) VALUES (NEW.id, NEW.terms); END
    """)
    db.execute("""
        CREATE TRIGGER remembered_unindexed AFTER DELETE ON remembered BEGIN
            INSERT INTO remembered_fts (remembered_fts, rowid, terms)
            VALUES ('delete', OLD.id, OLD.terms);
        END
    """)
    forbid_updates(db, "remembered")


@MIGRATIONS()
def m004_ledger(db: Database) -> None:
    """Calls that cost money. A row stands before its request leaves, and the reply is on disk
    before anything reads it, so that no crash makes us pay for the same reply twice. The reply is
    kept as it came: it may not be JSON, and it may not be what was asked for.
    """
    db.execute("""
        CREATE TABLE ledger (
            key TEXT PRIMARY KEY,
            run_id TEXT NOT NULL REFERENCES runs (id),
            step TEXT NOT NULL,
            role TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            request_hash TEXT NOT NULL,
            request TEXT NOT NULL CHECK (json_valid(request)),
            status TEXT NOT NULL CHECK (status IN ('sent', 'committed', 'parsed')),
            response TEXT,
            usage TEXT CHECK (usage IS NULL OR json_valid(usage)),
            sent TEXT NOT NULL,
            committed TEXT,
            parsed TEXT,
            CHECK ((status = 'sent') = (response IS NULL))
        ) STRICT
    """)
    db.execute("CREATE INDEX ledger_by_run ON ledger (run_id, sent)")
    db.execute("""
        CREATE TRIGGER ledger_keeps_replies BEFORE UPDATE OF response, usage, request ON ledger
        WHEN OLD.response IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'a reply that was paid for is never rewritten'); END
    """)
