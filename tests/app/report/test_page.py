"""The page: complete, self-contained, and safe whatever the texts say."""

from __future__ import annotations

import errno
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from selfsteer.agents.approval import refuse
from selfsteer.agents.budget import Budget
from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.app.output import place
from selfsteer.app.report.data import gather
from selfsteer.app.report.page import render, write_report
from selfsteer.errors import MemoryFileError, SelfsteerError
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import IMPOSSIBLE, Scripted, settings
from tests.app.doubles import HOSTILE_GOAL

WHOLE = "brisk, with early letters"
PLACE = ("site", "layer", "operator", "strength")


class Reader(HTMLParser):
    """Collects tags, what they refer to, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = ("src", "href", "srcset", "action", "data", "poster")
        self.references += [str(value) for name, value in attrs if name in names]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def words(self) -> str:
        """The text with single spaces."""
        return " ".join(self.text.split())


def read(memory: Memory, run_id: str) -> Reader:
    return Reader(render(gather(memory, run_id)))


def test_an_accepted_run_is_shown_whole(memory: Memory, accepted: Run) -> None:
    page = read(memory, accepted.id)
    verdict = accepted.verdict or {}
    assert accepted.goal in page.words
    assert "accepted" in page.words
    assert str(verdict["reason"]) in page.words
    for part in ("no instruction", "instruction only", "steered", "AUROC", "Round 1", "scripted"):
        assert part in page.words, part
    measured = page.words.split("What was measured")[1].split("Before and after")[0]
    assert measured.count("instruction only") == 1  # the confirmation judges the steered arm alone
    assert str(verdict["vector_id"]) in page.words
    for site in ("reply", "start"):
        assert f"{site} " in page.words
    assert f"{verdict['site']}, {verdict['operator']} {verdict['strength']:.2f}" in page.words
    (extracted,) = [e for e in memory.runs.events(accepted.id) if e.kind == "extracted"]
    for vector_id in extracted.payload["vectors"].values():  # type: ignore[union-attr]
        assert str(vector_id) in page.words
    assert "tokens generated up to the verdict" in page.words
    assert page.tags.count("img") == 2
    (turn,) = memory.runs.rounds(accepted.id)
    assert turn.reason in page.words
    for candidate in memory.runs.candidates(accepted.id, "report"):
        assert f"{candidate.steerability:.2f}" in page.words


def test_every_reference_is_inline(memory: Memory, accepted: Run) -> None:
    source = render(gather(memory, accepted.id))
    page = Reader(source)
    assert page.references
    assert all(reference.startswith("data:image/svg+xml;base64,") for reference in page.references)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"https?://|@import|url\(", source)


def test_hostile_texts_stay_texts(memory: Memory, hostile: Run) -> None:
    source = render(gather(memory, hostile.id))
    page = Reader(source)
    assert "script" not in page.tags
    assert "<script" not in source
    # As the title, the heading, the reason of the round and of the verdict, and the instruction
    assert page.text.count("<script>alert('goal')</script>") >= 5
    assert page.tags.count("title") == 1
    assert "{{ 7 * 7 }}" in page.text


def test_hostile_replies_stay_texts(memory: Memory, accepted: Run) -> None:
    data = gather(memory, accepted.id)
    assert data.samples is not None
    hostile = [HOSTILE_GOAL] * len(data.samples.prompts)
    data.samples.arms["steered"][:] = hostile
    data.samples.prompts[:] = hostile
    page = Reader(render(data))
    assert "script" not in page.tags
    assert page.text.count("<script>alert('goal')</script>") >= 2


def test_a_rejected_run_shows_what_was_tried(memory: Memory, hostile: Run) -> None:
    page = read(memory, hostile.id)
    assert "rejected" in page.words
    assert "not measured" in page.words
    assert "The search" in page.words
    best = r"this is the best that was tried: (reply|lead|opening|start), layer \d, add"
    assert re.search(f"Nothing was accepted; {best}", page.words)
    assert "What was measured" not in page.words


def test_a_recalled_run_has_no_search(memory: Memory, recalled: Run, accepted: Run) -> None:
    page = read(memory, recalled.id)
    assert f"from memory (run {accepted.id})" in page.words
    assert "recall" in page.words
    verdict = recalled.verdict or {}
    where = f"{verdict['site']}, layer {verdict['layer']}, add {verdict['strength']:.2f}"
    assert f"(run {accepted.id}; {where})" in page.words
    assert f"the report probes belong to run {accepted.id}, which made" in page.words
    assert "The search" not in page.words
    assert "Round 1" not in page.words
    assert "img" not in page.tags


@pytest.fixture
def composing(memory: Memory, talker: Student, few_probes: object) -> tuple[str, ...]:
    """Two goals were met; the ids of these runs, in the order of the words of `WHOLE`."""
    goals = {"favour early letters": 10, "be brisk": 13}
    runs = [
        run_goal(talker, Scripted(trials=trials), memory, settings(goal=goal))
        for goal, trials in goals.items()
    ]
    return tuple(run.id for run in reversed(runs))


def test_a_composition_shows_all_its_edits_and_has_a_report(
    memory: Memory, talker: Student, composing: tuple[str, ...]
) -> None:
    run = run_goal(talker, Scripted(), memory, settings(goal=WHOLE))
    page = read(memory, run.id)
    named = " and ".join(composing)
    assert f"accepted, composed from memory (runs {named})" in page.words
    assert "plans for “be brisk” and “favour early letters” have the words" in page.words
    verdict: dict[str, Any] = run.verdict or {}
    places = [place(*(edit[name] for name in PLACE)) for edit in verdict["edits"]]
    assert f"({' and '.join(places)}; runs {named})" in page.words
    assert "2 edits" in page.words
    assert verdict["further"][0] in page.words
    assert "report probes, opened after the verdict" in page.words
    again = read(memory, run_goal(talker, Scripted(), memory, settings(goal=WHOLE)).id)
    assert f"(run {run.id}; {' and '.join(places)})" in again.words


def test_a_composition_that_failed_is_told(
    memory: Memory, talker: Student, composing: tuple[str, ...]
) -> None:
    run = run_goal(talker, Scripted(), memory, settings(goal=WHOLE, thresholds=IMPOSSIBLE))
    words = read(memory, run.id).words
    assert "What memory held did not meet the goal there: steerability" in words
    assert "composed from memory" not in words


def test_what_ended_or_held_up_a_run_is_told(
    memory: Memory, talker: Student, few_probes: object
) -> None:
    short = run_goal(talker, Scripted(), memory, settings(budget=Budget(candidates=5)))
    told = read(memory, short.id).words
    assert "Stopped because the budget of 5 candidates" in told
    asking = run_goal(talker, Scripted(), memory, settings(goal="ask", approve=frozenset({"data"})))
    assert "A person was asked" not in read(memory, asking.id).words
    refuse(memory, asking.id, "<b>Beside the point.</b>")
    resume_run(asking.id, talker, Scripted(), memory)
    page = read(memory, asking.id)
    assert "A person was asked about the data, and said: refuse." in page.words
    assert "<b>Beside the point.</b>" in page.words
    assert "b" not in page.tags


def test_a_run_without_a_verdict(memory: Memory) -> None:
    settings: dict[str, object] = {"goal": {"text": "g"}}
    run = memory.runs.start(
        "g", student="s", fingerprint="f", controller="self", seed=0, settings=settings
    )
    assert "There is no verdict yet." in read(memory, run.id).words


def test_the_same_run_gives_the_same_page(memory: Memory, accepted: Run) -> None:
    assert render(gather(memory, accepted.id)) == render(gather(memory, accepted.id))


def test_a_page_is_written_whole_and_replaces_an_older_one(
    memory: Memory, accepted: Run, tmp_path: Path
) -> None:
    path = tmp_path / "page" / "r.html"
    path.parent.mkdir()
    path.write_text("old")
    write_report(memory, accepted.id, path)
    assert path.read_text(encoding="utf-8").endswith("</html>")
    assert list(path.parent.iterdir()) == [path]


def test_a_page_that_was_not_written_over_stays_with_its_run(
    memory: Memory, accepted: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.html"
    other = memory.runs.start(
        "g", student="s", fingerprint="f", controller="self", seed=0, settings=accepted.settings
    )

    def about() -> list[str | None]:
        return [file.run_id for file in memory.files.all() if file.path == path]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_report(memory, accepted.id, path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(SelfsteerError, match="cannot be written"):
            write_report(memory, other.id, path)
    assert about() == [accepted.id, other.id]
    write_report(memory, other.id, path)
    assert about() == [other.id]


def test_an_unknown_run_writes_nothing(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(MemoryFileError, match="no run beef"):
        write_report(memory, "beef", tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()
