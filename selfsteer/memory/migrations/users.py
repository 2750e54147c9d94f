"""Steps 12 and 13: users with what was observed of them and their vectors, and files written."""

from __future__ import annotations

from sqlite_utils import Database

from selfsteer.memory.migrations.steps import MIGRATIONS, forbid_updates


@MIGRATIONS()
def m012_users(db: Database) -> None:
    """Each user gets a vector, judged by whether it predicts that user. Observations, consents,
    versions of vectors and what became of them are added and never changed, so that it can be told
    which words a vector came from; deleting is left possible, because a user may be forgotten.

    ``current_vectors`` repeats what the newest statuses say, so that the vector of one user among
    many is found by a key, and so that the file itself lets no two be in use at once. An artefact
    that was made from several users (``pooled``) is deleted with any of them, while its row stays,
    marked stale: hence no foreign key.
    """
    db.execute("CREATE TABLE users (id TEXT PRIMARY KEY, created TEXT NOT NULL) STRICT")
    db.execute("""
        CREATE TABLE consents (
            sequence INTEGER PRIMARY KEY,
            user_id TEXT NOT NULL REFERENCES users (id),
            granted INTEGER NOT NULL CHECK (granted IN (0, 1)),
            time TEXT NOT NULL
        ) STRICT
    """)
    db.execute("CREATE INDEX consents_by_user ON consents (user_id, sequence)")
    db.execute("""
        CREATE TABLE observations (
            sequence INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            user_id TEXT NOT NULL REFERENCES users (id),
            session TEXT NOT NULL,
            position INTEGER NOT NULL,
            kind TEXT NOT NULL
                CHECK (kind IN ('message', 'preference', 'rating', 'edit', 'acceptance')),
            source TEXT NOT NULL,
            scope TEXT NOT NULL CHECK (scope IN ('private', 'shared')),
            content TEXT NOT NULL CHECK (json_valid(content)),
            created TEXT NOT NULL,
            UNIQUE (user_id, session, position, kind)
        ) STRICT
    """)
    db.execute("""
        CREATE TABLE user_vectors (
            sequence INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            user_id TEXT NOT NULL REFERENCES users (id),
            vector_id TEXT NOT NULL REFERENCES artefacts (id),
            fingerprint TEXT NOT NULL,
            method TEXT NOT NULL,
            settings TEXT NOT NULL CHECK (json_valid(settings)),
            plan TEXT NOT NULL CHECK (json_valid(plan)),
            scope TEXT NOT NULL CHECK (scope IN ('private', 'shared')),
            supersedes TEXT REFERENCES user_vectors (id),
            created TEXT NOT NULL
        ) STRICT
    """)
    db.execute("CREATE INDEX user_vectors_by_user ON user_vectors (user_id, fingerprint, method)")
    db.execute("CREATE INDEX user_vectors_by_vector ON user_vectors (vector_id)")
    db.execute("CREATE INDEX user_vectors_superseded ON user_vectors (supersedes)")
    db.execute("""
        CREATE TABLE user_vector_evidence (
            version_id TEXT NOT NULL REFERENCES user_vectors (id),
            observation_id TEXT NOT NULL REFERENCES observations (id),
            PRIMARY KEY (version_id, observation_id)
        ) STRICT
    """)
    db.execute("CREATE INDEX evidence_by_observation ON user_vector_evidence (observation_id)")
    db.execute("""
        CREATE TRIGGER evidence_is_of_the_same_user BEFORE INSERT ON user_vector_evidence
        WHEN (SELECT user_id FROM user_vectors WHERE id = NEW.version_id)
            IS NOT (SELECT user_id FROM observations WHERE id = NEW.observation_id)
        BEGIN SELECT RAISE(ABORT, 'the evidence of a vector is of its own user'); END
    """)
    db.execute("""
        CREATE TABLE user_vector_statuses (
            sequence INTEGER PRIMARY KEY,
            version_id TEXT NOT NULL REFERENCES user_vectors (id),
            status TEXT NOT NULL CHECK (status IN ('held', 'in_use', 'retired')),
            scores TEXT NOT NULL CHECK (json_valid(scores)),
            reason TEXT NOT NULL,
            time TEXT NOT NULL
        ) STRICT
    """)
    db.execute("CREATE INDEX statuses_by_version ON user_vector_statuses (version_id, sequence)")
    db.execute("""
        CREATE TABLE current_vectors (
            user_id TEXT NOT NULL REFERENCES users (id),
            fingerprint TEXT NOT NULL,
            version_id TEXT NOT NULL UNIQUE REFERENCES user_vectors (id),
            PRIMARY KEY (user_id, fingerprint)
        ) STRICT, WITHOUT ROWID
    """)
    db.execute("""
        CREATE TABLE pooled (
            id INTEGER PRIMARY KEY,
            artefact_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            settings TEXT NOT NULL CHECK (json_valid(settings)),
            stale INTEGER NOT NULL DEFAULT 0 CHECK (stale IN (0, 1)),
            created TEXT NOT NULL
        ) STRICT
    """)
    db.execute("CREATE INDEX pooled_by_kind ON pooled (kind, fingerprint, id)")
    db.execute("CREATE INDEX pooled_by_artefact ON pooled (artefact_id)")
    db.execute("""
        CREATE TRIGGER pooled_only_grow_stale
        BEFORE UPDATE OF id, artefact_id, kind, fingerprint, created ON pooled
        BEGIN SELECT RAISE(ABORT, 'what is pooled is never rewritten'); END
    """)
    db.execute("""
        CREATE TABLE pooled_sources (
            pooled_id INTEGER NOT NULL REFERENCES pooled (id),
            user_id TEXT NOT NULL REFERENCES users (id),
            PRIMARY KEY (pooled_id, user_id)
        ) STRICT
    """)
    db.execute("CREATE INDEX pooled_by_source ON pooled_sources (user_id)")
    for table in (
        *("users", "consents", "observations", "user_vectors", "user_vector_evidence"),
        *("user_vector_statuses", "pooled_sources"),
    ):
        forbid_updates(db, table)


@MIGRATIONS()
def m013_what_lies_elsewhere(db: Database) -> None:
    """Forgetting a user has to reach what this file does not hold: the runs that were made for
    that user, and the files that were written about them (checkpoints, events, pages, exported
    vectors) or that hold everything (backups). A path stands once for each run and user that the
    file is about; a file of everything is about none by name.
    """
    db.execute("""
        CREATE TABLE run_users (
            run_id TEXT NOT NULL REFERENCES runs (id),
            user_id TEXT NOT NULL REFERENCES users (id),
            PRIMARY KEY (run_id, user_id)
        ) STRICT
    """)
    db.execute("CREATE INDEX runs_by_user ON run_users (user_id)")
    db.execute("""
        CREATE TABLE written_files (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL
                CHECK (kind IN ('backup', 'checkpoints', 'events', 'page', 'vector')),
            path TEXT NOT NULL,
            run_id TEXT REFERENCES runs (id),
            user_id TEXT REFERENCES users (id),
            written TEXT NOT NULL
        ) STRICT
    """)
    db.execute("""
        CREATE UNIQUE INDEX written_files_once
        ON written_files (path, coalesce(run_id, ''), coalesce(user_id, ''))
    """)
    db.execute("CREATE INDEX written_files_by_run ON written_files (run_id)")
    db.execute("CREATE INDEX written_files_by_user ON written_files (user_id)")
