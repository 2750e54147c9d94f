"""Probes: disjoint splits, the same for a seed, and nothing that the student was trained on."""

from __future__ import annotations

from itertools import combinations

import pytest

from selfsteer.agents.probes import ProbeSplits, deal_probes, open_prompts
from selfsteer.pocket.prompts import HELD_OUT, OPEN
from tests.agents.doubles import texts

NAMES = tuple(ProbeSplits.model_fields)


def test_probes_are_open_prompts_each_of_them_once() -> None:
    prompts = open_prompts()
    assert len(prompts) >= 150
    assert len({prompt.casefold() for prompt in prompts}) == len(prompts)
    assert all(prompt == prompt.strip() and prompt for prompt in prompts)


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_splits_have_nothing_in_common_and_leave_nothing_out(seed: int) -> None:
    dealt = deal_probes(seed)
    splits = {name: texts(getattr(dealt, name)) for name in NAMES}
    for one, other in combinations(NAMES, 2):
        assert not splits[one] & splits[other]
    assert set.union(*splits.values()) == set(open_prompts())
    sizes = [len(split) for split in splits.values()]
    assert max(sizes) - min(sizes) <= 1


def test_splits_are_a_function_of_the_seed() -> None:
    assert deal_probes(3) == deal_probes(3)
    assert deal_probes(3).confirmation != deal_probes(4).confirmation


def test_probes_of_recall_were_seen_by_no_run_of_any_seed() -> None:
    """A vector is recalled by runs of other seeds than the one that chose it."""
    recall = texts(deal_probes(0).recall)
    for seed in range(20):
        dealt = deal_probes(seed)
        assert texts(dealt.recall) == recall
        for name in set(NAMES) - {"recall"}:
            assert not recall & texts(getattr(dealt, name))


def test_the_bundled_student_was_not_trained_on_probes() -> None:
    trained = {text for table in (OPEN, HELD_OUT) for prompts in table.values() for text in prompts}
    assert not trained & set(open_prompts())
