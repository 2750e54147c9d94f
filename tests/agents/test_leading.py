"""Which candidates lead when some were looked at longer than others."""

from __future__ import annotations

import math

import pytest

from selfsteer.agents.leading import LEADING, leading, likeliest, longest_looks, together
from selfsteer.agents.types import Thresholds
from tests.agents.test_policy import result


def test_of_several_looks_the_longest_counts_and_of_equal_ones_the_last() -> None:
    short, long = result(n=8, steerability=1.0), result(n=64, steerability=0.7)
    again = result(n=64, steerability=0.6)
    other = result(layer=1, n=8)
    assert longest_looks([short, long, other]) == [long, other]
    assert longest_looks([long, short, other]) == [long, other]
    assert longest_looks([long, again, short]) == [again]


def test_those_that_were_kept_come_before_those_that_were_dropped() -> None:
    dropped = [result(layer=layer, n=8, steerability=1.0) for layer in range(3)]
    kept = [result(layer=layer, n=64, steerability=0.5 + layer / 10) for layer in (3, 4)]
    found = leading([*dropped, *kept], Thresholds())
    assert [row.layer for row in found[:2]] == [4, 3]
    assert {row.layer for row in found[2:]} == {0, 1, 2}


def test_few_are_remembered() -> None:
    many = [result(layer=layer, n=layer + 1) for layer in range(9)]
    assert len(leading(many, Thresholds())) == LEADING
    assert [row.layer for row in leading(many, Thresholds(), 2)] == [8, 7]
    assert leading([], Thresholds()) == []


def test_the_likeliest_is_found_by_the_longest_look() -> None:
    flattered, again = result(n=192, steerability=0.95), result(n=384, steerability=0.88)
    other = result(layer=1, n=192, steerability=0.92)
    assert likeliest([flattered, other, again], Thresholds(), 384) == [other, again]
    assert likeliest([], Thresholds(), 384) == []


def test_two_looks_together_are_one_of_all_their_replies() -> None:
    first = result(
        n=100, steerability=0.9, broken=0.0, repetition=0.2, coherence=1.0, retention=0.8
    )
    second = result(n=300, steerability=0.7, broken=0.04, repetition=0.0, coherence=1.2)
    both = together(first, second)
    assert (both.n, both.retention, both.spec()) == (400, 0.8, first.spec())
    found = (both.steerability, both.broken, both.repetition)
    assert found == pytest.approx((0.75, 0.03, 0.05))
    # A ratio of perplexities: logarithms are what has a mean.
    assert math.log(both.coherence) == pytest.approx(0.75 * math.log(1.2))
