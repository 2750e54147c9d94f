"""What the nodes work with: seeds for every purpose, events once, the judge prepared once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from selfsteer.agents.context import Context, last_user_turn
from selfsteer.agents.settings import RunSettings
from selfsteer.agents.types import Verdict
from selfsteer.errors import VectorError
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.evaluate import Judged
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Message, Prompt
from tests.agents.doubles import Scripted, build_talker, deal_few, first_half, settings
from tests.steering.students import build_vector


def build(memory: Memory, student: Student, controller: Scripted, chosen: RunSettings) -> Context:
    run = memory.runs.start(
        chosen.goal.text,
        student=student.name,
        fingerprint=student.fingerprint,
        controller=controller.name,
        seed=chosen.seed,
        settings=chosen.model_dump(mode="json"),
    )
    told: list[str] = []

    def listener(kind: str, payload: Mapping[str, Any]) -> None:
        told.append(kind)

    return Context(run.id, chosen, student, memory, controller, deal_few(0), (), listener)


@pytest.fixture
def context(memory: Memory, talker: Student) -> Context:
    return build(memory, talker, Scripted(), settings())


def test_every_purpose_has_its_seed(memory: Memory, talker: Student, context: Context) -> None:
    labels = [("collect", 0, "positive"), ("collect", 0, "negative"), ("collect", 1, "positive")]
    seeds = [context.seed(*label) for label in labels]
    assert len(set(seeds)) == 3
    assert seeds == [context.seed(*label) for label in labels]
    assert all(0 <= seed < 2**31 for seed in seeds)
    other = build(memory, talker, Scripted(), settings(seed=4))
    another = build(memory, talker, Scripted(), settings(goal="sound grumpy"))
    assert len({c.seed("collect") for c in (context, other, another)}) == 3


def test_an_event_is_recorded_once(memory: Memory, context: Context) -> None:
    for _ in range(3):
        context.emit("started", "started", {"run": context.run_id, "goal": "g"})
    assert [event.kind for event in memory.runs.events(context.run_id)] == ["started"]


def test_the_prompt_only_baseline_has_the_goal_as_its_system_message(context: Context) -> None:
    told = context.instructed(Prompt.chat("Hi"))
    assert [(m.role, m.content) for m in told.messages] == [
        ("system", context.goal.text),
        ("user", "Hi"),
    ]


def test_the_judge_sees_what_the_user_asked_and_the_reply(memory: Memory, talker: Student) -> None:
    seen = []

    class Watching(Scripted):
        def judge(self, goal: Any, samples: Any) -> list[Verdict]:
            seen.extend(samples)
            return super().judge(goal, samples)

    context = build(memory, talker, Watching(), settings())
    told = Prompt.chat("Say it.", system="Be secretive.")
    assert context.judge([Judged(told, "abc"), Judged(told, "xyz")]) == [
        first_half("abc"),
        first_half("xyz"),
    ]
    assert [(s.prompt, s.reply) for s in seen] == [("Say it.", "abc"), ("Say it.", "xyz")]


def test_the_last_user_turn_is_what_was_asked() -> None:
    turns = [("system", "s"), ("user", "first"), ("assistant", "a"), ("user", "last")]
    chat = Prompt(messages=tuple(Message(role=r, content=c) for r, c in turns))  # type: ignore[arg-type]
    assert last_user_turn(chat) == "last"
    assert last_user_turn(Prompt.raw("once upon")) == "once upon"
    assert last_user_turn(Prompt(messages=(Message(role="system", content="s"),))) == ""


def test_the_controller_learns_from_each_dataset_once(memory: Memory, talker: Student) -> None:
    learned = []

    class Watching(Scripted):
        def learn(self, goal: Any, dataset: ContrastiveDataset) -> None:
            learned.append(dataset.id)

    context = build(memory, talker, Watching(), settings())
    ids = []
    for word in ("one", "two"):
        sides = [Example(prompt=Prompt.chat("Hi"), completion=word + end) for end in "ab"]
        pair = ContrastivePair(positive=sides[0], negative=sides[1])
        ids.append(memory.put_dataset(ContrastiveDataset(concept="c", pairs=(pair,))))
    for dataset_id in (None, ids[0], ids[0], ids[1], ids[1], ids[0]):
        context.prepare_judge(dataset_id)
    assert learned == [ids[0], ids[1], ids[0]]


def test_a_vector_of_another_student_is_refused(memory: Memory, context: Context) -> None:
    vector_id = memory.put_vector(build_vector(build_talker(bias=11.5)))
    with pytest.raises(VectorError):
        context.vector(vector_id)
