"""The controller without a language model."""

from __future__ import annotations

import pytest

from selfsteer.agents.loop import run_goal
from selfsteer.agents.search import SearchController
from selfsteer.agents.types import MOST_SAMPLES, Goal, Sample
from selfsteer.errors import ControllerError
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from tests.agents.doubles import kinds, settings
from tests.agents.judges.test_probe import PLANTED
from tests.agents.test_policy import BAD, GOOD, evidence, summary

GOAL = Goal(text="sound grumpy")


def test_a_given_dataset_is_taken_as_it_is(talker: Student) -> None:
    assert SearchController(talker, PLANTED).propose(GOAL, []).dataset == PLANTED


def test_without_a_dataset_it_samples_under_the_goals_own_words(talker: Student) -> None:
    controller = SearchController(talker)
    first, second = (controller.propose(GOAL, [summary(BAD)] * failed) for failed in (0, 1))
    assert (first.positive, first.negative) == ((GOAL.text,), ("",))
    assert first.dataset is None
    assert second.samples == 2 * first.samples
    assert controller.propose(GOAL, [summary(BAD)] * 9).samples == MOST_SAMPLES
    assert not controller.confirms_pairs()


def test_it_searches_with_every_operator(talker: Student) -> None:
    space = SearchController(talker).choose(GOAL, evidence(0.9, 0.4), [])
    assert space.layers == (0,)
    assert set(space.operators) == {"add", "ablate"}


def test_it_judges_only_after_it_has_learned(talker: Student) -> None:
    controller = SearchController(talker)
    samples = [Sample(prompt="Hi", reply="aaaa"), Sample(prompt="Hi", reply="zzzz")]
    with pytest.raises(ControllerError, match="dataset"):
        controller.judge(GOAL, samples)
    controller.learn(GOAL, PLANTED)
    asked_for, other = controller.judge(GOAL, samples)
    assert asked_for.score > 0.5 > other.score


def test_given_data_cannot_be_revised_forever(talker: Student) -> None:
    given, sampling = SearchController(talker, PLANTED), SearchController(talker)
    better = BAD.model_copy(update={"steerability": 0.6})
    history = [summary(BAD), summary(better)]
    assert sampling.reflect(GOAL, history).action == "revise_data"
    assert given.reflect(GOAL, history).action == "give_up"
    assert given.reflect(GOAL, history[:1]).action == "revise_data"
    assert given.reflect(GOAL, [summary(GOOD)]).action == "confirm"


@pytest.mark.usefixtures("few_probes")
def test_a_run_on_given_pairs(talker: Student, memory: Memory) -> None:
    run = run_goal(talker, SearchController(talker, PLANTED), memory, settings())
    assert run.verdict is not None
    [turn] = memory.runs.rounds(run.id)
    assert turn.dataset_id == PLANTED.id
    assert turn.details["pairs"] == {"kept": len(PLANTED.pairs), "sampled": len(PLANTED.pairs)}
    assert "collected" not in kinds(memory, run)
    assert memory.runs.candidates(run.id, "development")


@pytest.mark.usefixtures("few_probes")
def test_a_run_on_given_texts_without_prompts(talker: Student, memory: Memory) -> None:
    """Pairs of bare texts, as other libraries use them."""
    texts = ContrastiveDataset(
        concept="a",
        pairs=tuple(
            ContrastivePair(
                positive=Example(prompt=Prompt.raw("ab" * n)),
                negative=Example(prompt=Prompt.raw("zy" * n)),
            )
            for n in range(2, 12)
        ),
    )
    run = run_goal(talker, SearchController(talker, texts), memory, settings())
    assert run.verdict is not None
    sites = {c.details["stage"]: c for c in memory.runs.candidates(run.id, "development")}
    assert set(sites) == {"search", "refine", "finalists"}
