"""Pairs: answers that are kept, and what stands beside what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.agents.context import Context
from selfsteer.agents.nodes.collect import _pair, collect
from selfsteer.agents.state import LoopState
from selfsteer.agents.types import MIN_PAIRS, ContrastiveSpec
from selfsteer.memory.records import Round
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from tests.agents.doubles import Scripted, first_half, settings, texts
from tests.agents.test_context import build


class Trusting(Scripted):
    """Keeps every pair."""

    def confirms_pairs(self) -> bool:
        return False


def state(positive: tuple[str, ...], negative: tuple[str, ...], samples: int = 64) -> LoopState:
    spec = ContrastiveSpec(positive=positive, negative=negative, samples=samples)
    return {
        "round": 0,
        "spec": spec.model_dump(mode="json", exclude={"dataset"}),
        "dataset_id": None,
    }


@pytest.fixture
def context(memory: Memory, talker: Student) -> Context:
    return build(memory, talker, Trusting(), settings())


def test_instructions_take_turns_and_none_means_none(memory: Memory, context: Context) -> None:
    update = collect(state(("be a", "be b"), ("", "be c")), context)
    assert update["dataset_id"] is not None
    dataset = memory.get_dataset(update["dataset_id"])
    systems = [
        Counter(e.prompt.messages[0].content if len(e.prompt.messages) > 1 else "" for e in side)
        for side in (dataset.positives, dataset.negatives)
    ]
    assert set(systems[0]) == {"be a", "be b"}
    assert set(systems[1]) == {"", "be c"}
    asked = texts(e.prompt for e in (*dataset.positives, *dataset.negatives))
    assert asked <= texts(context.probes.extraction)


def test_replies_that_were_cut_or_empty_are_left_out(memory: Memory, talker: Student) -> None:
    short = build(memory, talker, Trusting(), settings(max_new_tokens=2))
    update = collect(state(("be a",), ("",)), short)
    assert update["pairs"]["kept"] < update["pairs"]["sampled"] == 64
    if update["dataset_id"] is not None:
        for pair in memory.get_dataset(update["dataset_id"]).pairs:
            assert len(pair.positive.completion) == 1  # one letter, then the end
    assert update["spent"]["generated_tokens"] <= 2 * 64 * 2


def test_without_confirmation_every_finished_reply_counts(
    memory: Memory, talker: Student, context: Context
) -> None:
    trusted = collect(state(("be a",), ("",)), context)
    judged = collect(state(("be a",), ("",)), build(memory, talker, Scripted(), settings()))
    assert trusted["pairs"]["kept"] > judged["pairs"]["kept"] > 0
    kept = memory.get_dataset(str(judged["dataset_id"]))
    assert all(first_half(e.completion) >= 0.5 for e in kept.positives)
    assert all(first_half(e.completion) < 0.5 for e in kept.negatives)


def test_too_few_pairs_make_no_dataset(memory: Memory, talker: Student) -> None:
    lonely = build(memory, talker, Scripted(score=lambda _: 1.0), settings())
    update = collect(state(("be a",), ("",)), lonely)
    assert update["dataset_id"] is None
    assert update["pairs"]["kept"] < MIN_PAIRS
    [event] = memory.runs.events(lonely.run_id)
    assert event.payload["positive_kept"] > 0  # type: ignore[operator]
    assert event.payload["negative_kept"] == 0


def test_a_given_dataset_is_not_sampled_again(memory: Memory, context: Context) -> None:
    first = collect(state(("be a",), ("",)), context)
    again = collect({**state(("be a",), ("",)), "dataset_id": first["dataset_id"]}, context)
    kept = first["pairs"]["kept"]
    assert again == {"pairs": {"kept": kept, "sampled": kept}}


def test_more_of_the_same_joins_what_was_kept(memory: Memory, context: Context) -> None:
    """Data on other words begin anew."""
    first = collect(state(("be a",), ("",)), context)
    memory.runs.add_round(
        Round(
            run_id=context.run_id,
            number=0,
            dataset_id=first["dataset_id"],
            vector_id=None,
            decision="revise_data",
            reason="more of it",
            details={},
        )
    )
    before = list(memory.get_dataset(str(first["dataset_id"])).pairs)
    for positive, kept in ((("be a",), before), (("be b",), [])):
        later: LoopState = {
            **state(positive, ("",)),
            "round": 1,
            "history": [{"positive": ["be a"]}],
        }
        update = collect(later, context)
        pairs = list(memory.get_dataset(str(update["dataset_id"])).pairs)
        assert pairs[: len(kept)] == kept
        assert len(pairs) == len(kept) + update["pairs"]["kept"]


def answers(questions: Sequence[int], word: str) -> list[Example]:
    return [
        Example(prompt=Prompt.chat(f"Question {q}?"), completion=f"{word} {n}")
        for n, q in enumerate(questions)
    ]


@given(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_answers_to_the_same_question_stand_side_by_side(
    asked: list[int], asked_otherwise: list[int]
) -> None:
    positives, negatives = answers(asked, "yes"), answers(asked_otherwise, "no")
    pairs = _pair(positives, negatives)
    assert len(pairs) == min(len(positives), len(negatives))
    # Nothing is used twice, and nothing is made up.
    for side, source in (("positive", positives), ("negative", negatives)):
        used = Counter(getattr(pair, side) for pair in pairs)
        assert used <= Counter(source)
    together = sum(pair.positive.prompt == pair.negative.prompt for pair in pairs)
    possible = (Counter(asked) & Counter(asked_otherwise)).total()
    assert together == possible
