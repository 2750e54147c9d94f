"""The judging probe on data whose answer is planted."""

from __future__ import annotations

import pytest
import torch

from selfsteer.agents.judges.probe import fit_probe, probe_verdicts
from selfsteer.agents.types import Sample
from selfsteer.errors import DatasetError
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.metrics.auroc import auroc
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt


def example(letters: str, number: int, system: str | None = None) -> Example:
    """A reply from a few letters, of varying length and order."""
    text = "".join(letters[(number * i + i // 2) % len(letters)] for i in range(4 + number))
    return Example(prompt=Prompt.chat(f"Question {number % 3}?", system=system), completion=text)


def dataset(positive: str, negative: str, *, instructed: bool = False) -> ContrastiveDataset:
    pairs = tuple(
        ContrastivePair(
            positive=example(positive, n, "Use the first letters." if instructed else None),
            negative=example(negative, n),
        )
        for n in range(10)
    )
    return ContrastiveDataset(concept="first letters", pairs=pairs)


PLANTED = dataset("abc", "xyz")


def replies(letters: str) -> list[Sample]:
    """Replies of other lengths than those that were learned from."""
    return [
        Sample(prompt="Another question?", reply=example(letters, n).completion)
        for n in range(10, 18)
    ]


def test_held_out_replies_are_told_apart(talker: Student) -> None:
    probe = fit_probe(talker, PLANTED)
    asked_for, other = (
        [verdict.score for verdict in probe_verdicts(talker, probe, replies(letters))]
        for letters in ("abc", "xyz")
    )
    assert min(asked_for) > 0.5 > max(other)
    assert probe.slope > 0
    assert probe.direction.norm() == pytest.approx(1, abs=1e-5)


def test_the_sides_can_be_exchanged(talker: Student) -> None:
    samples = [*replies("abc"), *replies("xyz")]
    probe, mirrored = fit_probe(talker, PLANTED), fit_probe(talker, dataset("xyz", "abc"))
    assert probe.layer == mirrored.layer
    scores = [verdict.score for verdict in probe_verdicts(talker, probe, samples)]
    opposite = [verdict.score for verdict in probe_verdicts(talker, mirrored, samples)]
    assert opposite == pytest.approx([1 - score for score in scores], abs=1e-4)


def test_instructions_are_not_read(talker: Student) -> None:
    """Else the probe would tell the prompts apart and not the replies."""
    plain, instructed = (
        fit_probe(talker, dataset("abc", "xyz", instructed=told)) for told in (False, True)
    )
    assert torch.equal(plain.direction, instructed.direction)
    assert (plain.layer, plain.threshold) == (instructed.layer, instructed.threshold)


def test_without_a_difference_there_is_no_skill(talker: Student) -> None:
    noise = dataset("abcxyz", "zyxcba")
    probe = fit_probe(talker, noise)
    sides = [
        torch.tensor([v.score for v in probe_verdicts(talker, probe, replies(letters))])
        for letters in ("abcxyz", "zyxcba")
    ]
    assert 0.1 < float(auroc(*sides)) < 0.9


def test_empty_replies_get_nothing_and_order_is_kept(talker: Student) -> None:
    probe = fit_probe(talker, PLANTED)
    first, second = replies("abc")[0], replies("xyz")[0]
    nothing, blank = Sample(prompt="Hi", reply=""), Sample(prompt="Hi", reply=" \n")
    scores = [v.score for v in probe_verdicts(talker, probe, [nothing, first, blank, second])]
    assert scores[0] == scores[2] == 0
    assert scores[1] > 0.5 > scores[3] > 0
    alone = [probe_verdicts(talker, probe, [sample])[0].score for sample in (first, second)]
    assert [scores[1], scores[3]] == pytest.approx(alone, abs=1e-4)
    assert probe_verdicts(talker, probe, []) == []


def test_one_pair_is_too_few(talker: Student) -> None:
    single = PLANTED.model_copy(update={"pairs": PLANTED.pairs[:1]})
    with pytest.raises(DatasetError):
        fit_probe(talker, single)
