"""Full-text search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Memory, Round, Run
from selfsteer.memory.check import Fault, quarantine
from selfsteer.memory.migrations import MIGRATIONS
from selfsteer.memory.search import search
from selfsteer.steering.vectors import SteeringVector


def told(memory: Memory, text: str) -> list[tuple[str, str, str]]:
    return [(hit.kind, hit.owner, hit.snippet) for hit in search(memory, text)]


def add_round(memory: Memory, run: Run, reason: str, number: int = 0) -> None:
    turn = Round(run_id=run.id, number=number, decision="accept", reason=reason)
    memory.runs.add_round(turn)


@pytest.fixture
def accept(memory: Memory, start_run: Callable[..., Run]) -> Callable[..., Run]:
    def whole(goal: str, reason: str = "good enough") -> Run:
        run = start_run(memory, goal)
        add_round(memory, run, reason)
        return memory.runs.finish(run.id, "accepted", seconds=1.0)

    return whole


def test_goals_reasons_and_concepts_are_found(
    memory: Memory, accept: Callable[..., Run], vector: SteeringVector
) -> None:
    run = accept("write about football", "Layer two carries the mood")
    memory.put_vector(replace(vector, concept="Gloomy answers"))
    [listed] = memory.vectors()
    assert told(memory, "footballs") == [("goal", run.id, "write about [football]")]
    assert told(memory, "moods") == [("reason", run.id, "Layer two carries the [mood]")]
    assert told(memory, "GLOOMY") == [("concept", listed.id, "[Gloomy] answers")]


@pytest.mark.parametrize("status", ["rejected", "stopped", "waiting", "failed"])
def test_runs_that_were_not_accepted_are_not(memory: Memory, run: Run, status: str) -> None:
    add_round(memory, run, "grumpy")
    memory.runs.finish(run.id, status, seconds=1.0)  # type: ignore[arg-type]
    assert told(memory, "grumpy") == []


def test_a_reason_that_comes_later_is_found_once(
    memory: Memory, accept: Callable[..., Run]
) -> None:
    run = accept("be terse")
    add_round(memory, run, "an afterthought", number=1)
    memory.runs.finish(run.id, "accepted", seconds=1.0)
    assert [hit[2] for hit in told(memory, "afterthought")] == ["an [afterthought]"]
    assert len(told(memory, "terse")) == 1


def test_what_has_more_of_the_words_comes_first(memory: Memory, accept: Callable[..., Run]) -> None:
    accept("gloomy about the weather")
    best = accept("gloomy and formal")
    accept("cheerful")
    hits = search(memory, "gloomy formal")
    assert (hits[0].owner, len(hits)) == (best.id, 2)
    assert hits[0].score > hits[1].score > 0
    assert len(search(memory, "gloomy formal", limit=1)) == 1


def test_a_long_text_is_cut_to_the_place(memory: Memory, accept: Callable[..., Run]) -> None:
    accept("be terse", " ".join(["before"] * 500 + ["needle"] + ["after"] * 500))
    [(_, _, snippet)] = told(memory, "needle")
    assert "[needle]" in snippet and len(snippet) < 200


def test_phrasing_counts_where_there_is_nothing_else(
    memory: Memory, accept: Callable[..., Run]
) -> None:
    run = accept("make it so")
    accept("make it rain")
    assert [hit[1] for hit in told(memory, "make it rain")] != [run.id]
    assert {hit[2] for hit in told(memory, "make")} == {"[make] it so", "[make] it rain"}


def test_what_is_deleted_or_in_quarantine_is_not_found(
    memory: Memory, accept: Callable[..., Run], vector: SteeringVector
) -> None:
    run = accept("be terse", "short")
    memory.put_vector(vector)
    quarantine(memory, [Fault(kind="blob", where="", what="", artefact_id=vector.id)])
    assert told(memory, "grumpy") == []
    with memory.connection.write() as db:
        for table in ("rounds", "runs", "artefacts"):
            db.execute(f"DELETE FROM {table}")
    assert memory.connection.query("SELECT * FROM texts") == []
    for word in ("terse", "short", "grumpy"):
        assert told(memory, word) == [], run.id


def test_the_index_is_as_true_after_a_vacuum(memory: Memory, accept: Callable[..., Run]) -> None:
    runs = [accept(f"goal number{number}") for number in range(5)]
    with memory.connection.write() as db:
        db.execute("DELETE FROM rounds WHERE run_id = ?", [runs[1].id])
        db.execute("DELETE FROM runs WHERE id = ?", [runs[1].id])
    memory.connection.vacuum()
    assert [hit[1] for hit in told(memory, "number3")] == [runs[3].id]
    with memory.connection.write() as db:
        db.execute("INSERT INTO texts_fts (texts_fts, rank) VALUES ('integrity-check', 1)")


def test_an_older_file_is_searched_too(path: Path) -> None:
    steps = MIGRATIONS.pending(Database(memory=True))
    old = Database(path)
    with old.atomic():
        MIGRATIONS.apply(old, stop_before=steps[9].name)
        old.execute("PRAGMA user_version = 9")
        old.execute(
            "INSERT INTO runs (id, goal, student, fingerprint, controller, seed, settings, status, "
            "started) VALUES ('r', 'be terse', 's', 'f', 'c', 1, '{}', 'accepted', 't')"
        )
        old.execute(
            "INSERT INTO rounds (run_id, number, decision, reason, details, created) "
            "VALUES ('r', 0, 'accept', 'short', '{}', 't')"
        )
        old.execute(
            "INSERT INTO artefacts (id, kind, sha256, size, meta, created, data) "
            """VALUES ('v', 'vector', '', 0, '{"concept": "grumpy"}', 't', x'')"""
        )
    old.close()
    with Memory.open(path) as memory:
        assert [told(memory, word)[0][:2] for word in ("terse", "short", "grumpy")] == [
            ("goal", "r"),
            ("reason", "r"),
            ("concept", "v"),
        ]


@pytest.mark.parametrize("text", ["", " ", "!?", '"*"'])
def test_no_word_is_refused(memory: Memory, text: str) -> None:
    with pytest.raises(MemoryFileError, match="no word"):
        search(memory, text)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "memory.db"
    Memory.open(path).close()
    return path


@given(text=st.text(alphabet="\"*()^:-+{}ANDORNEAR ~'", max_size=20))
def test_the_query_language_of_the_index_stays_out_of_reach(shared: Path, text: str) -> None:
    with Memory.open(shared, read_only=True) as memory:
        assert search(memory, f"{text} word") == []
