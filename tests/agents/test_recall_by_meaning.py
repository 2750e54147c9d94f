"""A remembered goal that says the same in other words: found where words find nothing, then tried
like any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.agents.types import Goal, Sample, Verdict
from selfsteer.errors import EncoderError
from selfsteer.memory.meaning import Meaning
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import (
    EASY,
    GOAL,
    Scripted,
    build_talker,
    deal_few,
    kinds,
    questions,
    settings,
    texts,
)
from tests.memory.damage import alter_blob
from tests.memory.encoders import ScriptedEncoder

pytestmark = pytest.mark.usefixtures("few_probes")

OTHERWISE = "favour early letters"  # no word of GOAL
# More than what few replies leave open for a plan that was confirmed before.
LIMITS = EASY.model_copy(update={"steerability": 0.2})


class Refusing(Scripted):
    """Nothing is good enough."""

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        return [Verdict(score=0.0)] * len(samples)


@pytest.fixture
def encoder() -> ScriptedEncoder:
    # Degrees, by the content words of the goals.
    return ScriptedEncoder(first_half_alphabet=0.0, favour_early_letters=40.0, brisk=50.0)


@pytest.fixture
def met(talker: Student, memory: Memory) -> Run:
    """A run that met its goal."""
    return run_goal(talker, Scripted(), memory, settings())


def ask(
    talker: Student,
    memory: Memory,
    encoder: ScriptedEncoder | None,
    controller: Scripted | None = None,
    **changes: Any,
) -> Run:
    wanted = settings(**{"goal": OTHERWISE, "seed": 8, "thresholds": LIMITS} | changes)
    meaning = None if encoder is None else Meaning(encoder)
    return run_goal(talker, controller or Scripted(), memory, wanted, meaning=meaning)


def test_a_goal_in_other_words_is_met_from_memory(
    talker: Student, memory: Memory, met: Run, encoder: ScriptedEncoder
) -> None:
    run = ask(talker, memory, encoder)
    assert kinds(memory, run) == ["started", "recalled", "confirmed", "verdict"]
    assert run.verdict is not None
    assert (run.status, run.verdict["recalled"]) == ("accepted", met.id)
    [told] = [event.payload for event in memory.runs.events(run.id) if event.kind == "recalled"]
    assert (told["goal"], told["run"], told["cosine"]) == (GOAL, met.id, 0.766)
    [look] = memory.runs.candidates(run.id)
    assert questions(memory, look.generations_id) == texts(deal_few(8).recall)


def test_a_vector_that_was_altered_on_disk_is_left_out(
    talker: Student, memory: Memory, met: Run, encoder: ScriptedEncoder
) -> None:
    assert met.verdict is not None
    alter_blob(memory.path, str(met.verdict["vector_id"]))
    with Memory.open(memory.path) as again, pytest.warns(UserWarning, match="left out"):
        run = ask(talker, again, encoder)
        assert run.status == "accepted"
        assert "recalled" not in kinds(again, run)


def test_without_an_encoder_it_is_not(talker: Student, memory: Memory, met: Run) -> None:
    assert "recalled" not in kinds(memory, ask(talker, memory, None))


def test_words_come_first(
    talker: Student, memory: Memory, met: Run, encoder: ScriptedEncoder
) -> None:
    """What they find is tried, alone or together with others, and the encoder is not asked."""
    run_goal(talker, Scripted(), memory, settings(goal="be brisk"))
    for goal, how in ((GOAL, "recalled"), ("brisk, first half of the alphabet", "composed")):
        assert how in kinds(memory, ask(talker, memory, encoder, goal=goal))
    assert encoder.asked == []


def test_a_goal_that_lies_too_far_off_is_not_tried(
    talker: Student, memory: Memory, met: Run
) -> None:
    far = ScriptedEncoder(first_half_alphabet=0.0, favour_early_letters=80.0)
    assert "recalled" not in kinds(memory, ask(talker, memory, far))
    assert far.asked


def test_what_does_not_hold_is_followed_by_a_search_and_tried_no_more(
    talker: Student, memory: Memory, met: Run, encoder: ScriptedEncoder
) -> None:
    failed = ask(talker, memory, encoder, Refusing())
    assert kinds(memory, failed)[:4] == ["started", "recalled", "confirmed", "proposed"]
    [kept] = memory.remembered()
    assert [doubt.run_id for doubt in memory.doubts(kept.id)] == [failed.id]
    assert "recalled" not in kinds(memory, ask(talker, memory, encoder, Refusing()))
    own = ask(talker, memory, encoder, goal=GOAL)
    assert own.verdict is not None
    assert own.verdict["recalled"] == met.id


def test_the_likest_that_can_be_tried_is(
    talker: Student, memory: Memory, met: Run, encoder: ScriptedEncoder
) -> None:
    """The likest of all is doubted for this goal."""
    run_goal(talker, Scripted(), memory, settings(goal="be brisk"))
    doubtful = memory.remembered()[-1]
    failed = ask(talker, memory, encoder, Refusing())
    assert [doubt.run_id for doubt in memory.doubts(doubtful.id)] == [failed.id]
    run = ask(talker, memory, encoder)
    assert run.verdict is not None
    assert run.verdict["recalled"] == met.id


def test_a_vector_of_another_student_is_named_and_not_used(
    memory: Memory, encoder: ScriptedEncoder
) -> None:
    first = run_goal(build_talker(), Scripted(), memory, settings())
    run = ask(build_talker(bias=11.5), memory, encoder)
    assert "recalled" not in kinds(memory, run)
    [stale] = [
        event.payload for event in memory.runs.events(run.id) if event.kind == "stale_vector"
    ]
    assert first.verdict is not None
    assert stale == {"vector": first.verdict["vector_id"], "goal": GOAL}


def test_memory_can_be_left_unused(
    talker: Student, memory: Memory, met: Run, encoder: ScriptedEncoder
) -> None:
    assert "recalled" not in kinds(memory, ask(talker, memory, encoder, use_memory=False))
    assert encoder.asked == []


def test_a_run_that_stopped_before_it_looked_goes_on_with_the_same(
    talker: Student, memory: Memory, met: Run, encoder: ScriptedEncoder
) -> None:
    def unplugged(texts: Sequence[str]) -> Any:
        raise EncoderError("It cannot be loaded.")

    wanted = settings(goal=OTHERWISE, seed=8)
    with pytest.raises(EncoderError):
        run_goal(talker, Scripted(), memory, wanted, run_id="0a1b2c3d", meaning=Meaning(unplugged))
    assert memory.runs.get("0a1b2c3d").status == "failed"
    ended = resume_run("0a1b2c3d", talker, Scripted(), memory, meaning=Meaning(encoder))
    assert ended.verdict is not None
    assert (ended.status, ended.verdict["recalled"]) == ("accepted", met.id)
