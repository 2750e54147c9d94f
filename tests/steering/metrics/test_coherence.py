"""Perplexity under the instructed prompt, slips, and repetition."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfsteer.errors import StudentError
from selfsteer.steering.encoding import encode
from selfsteer.steering.metrics.coherence import (
    SLIP,
    LogLikelihood,
    broken,
    distinct,
    log_likelihoods,
    longest_repeat,
    looping,
    perplexity_ratio,
    ratio_of_perplexities,
)
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from tests.steering.students import build_student

PROMPTS = [
    Prompt.chat("How are you?", system="Be glad."),
    Prompt.chat("And now?", system="Be sad."),
]


def by_hand(student: Student, prompt: Prompt, reply: str) -> tuple[float, int]:
    """Log-likelihood of a reply from one plain forward over the whole row."""
    row = encode(student, Example(prompt=prompt, completion=reply))
    with torch.inference_mode():
        logits = student.model(torch.tensor([row.ids])).logits[0].double()
    logprobs = logits.log_softmax(-1)
    picked = [logprobs[i - 1, row.ids[i]] for i in range(row.prompt_length, len(row.ids))]
    return float(sum(picked)), len(picked)


def test_a_reply_counts_as_far_as_the_context_reaches() -> None:
    student = build_student("gpt2", n_positions=40)
    prompt = Prompt.chat("a" * 29)  # 33 tokens with the template
    whole, cut, room = log_likelihoods(student, [prompt] * 3, ["b" * 20, "b" * 7, "b" * 3])
    # Processors may give equal rows of a batch other last digits.
    assert tuple(whole) == pytest.approx(tuple(cut), rel=1e-7)
    assert (whole.tokens, room.tokens) == (7, 3)
    with pytest.raises(StudentError, match="Example 0 has 41 tokens, but tiny-gpt2 reads 40"):
        log_likelihoods(student, [Prompt.chat("a" * 36)], ["b"])


def test_log_likelihoods_are_those_of_a_plain_forward(llama: Student) -> None:
    replies = ["fine, thanks", "no"]
    for found, prompt, reply in zip(
        log_likelihoods(llama, PROMPTS, replies), PROMPTS, replies, strict=True
    ):
        total, tokens = by_hand(llama, prompt, reply)
        assert found.tokens == tokens
        assert found.total == pytest.approx(total, abs=1e-3)


def test_the_lowest_is_that_of_the_least_likely_token(llama: Student) -> None:
    for found, prompt, reply in zip(
        log_likelihoods(llama, PROMPTS, ["fine", "no"]), PROMPTS, ["fine", "no"], strict=True
    ):
        steps = [by_hand(llama, prompt, reply[: end + 1])[0] for end in range(len(reply))]
        each = [b - a for a, b in zip([0.0, *steps], steps, strict=False)]
        assert found.lowest == pytest.approx(min(each), abs=1e-3)


WHOLE, SLIPS, SILENT = (
    LogLikelihood(-12.0, 6, SLIP + 0.1),
    LogLikelihood(-30.0, 6, SLIP - 0.1),
    LogLikelihood(0.0, 0),
)


def test_broken_replies_hold_a_slip_or_nothing() -> None:
    assert broken([WHOLE, WHOLE], [WHOLE]) == 0
    assert broken([WHOLE, SLIPS], [WHOLE]) == 0.5
    assert broken([WHOLE, SLIPS, SILENT, SILENT], [WHOLE]) == 0.75


def test_what_the_instruction_breaks_as_well_is_not_held_against_steering() -> None:
    assert broken([SLIPS, SLIPS, SLIPS, WHOLE], [SLIPS, WHOLE]) == 0.25
    assert broken([WHOLE], [SLIPS]) == 0


def test_ratio_is_of_geometric_means_over_all_tokens(llama: Student) -> None:
    replies, reference = ["fine, thanks", "no"], ["so so", "never again"]

    def nats(texts: list[str]) -> float:
        parts = [by_hand(llama, prompt, text) for prompt, text in zip(PROMPTS, texts, strict=True)]
        return -sum(total for total, _ in parts) / sum(tokens for _, tokens in parts)

    expected = math.exp(nats(replies) - nats(reference))
    assert perplexity_ratio(llama, PROMPTS, replies, reference) == pytest.approx(expected, rel=1e-3)
    assert perplexity_ratio(llama, PROMPTS, replies, replies) == 1


def test_long_replies_weigh_more() -> None:
    student = SimpleNamespace(tokenizer=range(100), name="tiny")
    reference = [LogLikelihood(-1.0, 1)]
    replies = [LogLikelihood(-2.0, 1), LogLikelihood(-9.0, 9)]
    assert ratio_of_perplexities(student, replies, reference) == pytest.approx(math.exp(0.1))


def test_silence_is_as_unlikely_as_chance(llama: Student) -> None:
    student = SimpleNamespace(tokenizer=range(100), name="tiny")
    silent = [LogLikelihood(0.0, 0)]
    spoken = [LogLikelihood(-math.log(4), 1)]
    assert ratio_of_perplexities(student, silent, spoken) == pytest.approx(25)
    with pytest.raises(StudentError, match="says nothing"):
        ratio_of_perplexities(student, spoken, silent)
    with pytest.raises(StudentError, match="says nothing"):
        perplexity_ratio(llama, PROMPTS, ["a", "b"], ["", ""])
    assert perplexity_ratio(llama, PROMPTS, ["a", " \n"], ["a", "b"]) > 0


def test_distinct() -> None:
    assert distinct("aaaa", 1) == 0.25
    assert distinct("abab", 2) == pytest.approx(2 / 3)
    assert distinct("abcd", 2) == 1
    assert distinct("a", 2) == 1


def test_longest_repeat_known_values() -> None:
    assert longest_repeat([]) == 0
    assert longest_repeat("a") == 0
    assert longest_repeat("abcdefgh") == 0
    assert longest_repeat("abcabc") == 1
    assert longest_repeat("aaaa") == 1  # overlapping occurrences do not count: aa aa, not aaa aaa
    assert longest_repeat("xabcyabcz") == pytest.approx(6 / 9)


def test_looping_known_values() -> None:
    assert looping([]) == looping("a") == looping("abcdefgh") == looping("abcxabc") == 0
    assert looping("aaa") == pytest.approx(2 / 3)
    assert looping("abcabc") == pytest.approx(1 / 6)
    assert looping("abcabcabc") == pytest.approx(4 / 9)
    assert looping("xaabbx") == pytest.approx(2 / 6)
    assert looping("ab" * 50) == pytest.approx(97 / 100)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), max_size=16))
def test_looping_equals_a_look_at_every_token(tokens: list[int]) -> None:
    ends = [
        any(tokens[end - 2 * p : end - p] == tokens[end - p : end] for p in range(1, end // 2 + 1))
        for end in range(1, len(tokens) + 1)
    ]
    assert looping(tokens) == (sum(ends) / len(ends) if ends else 0)


def slow_longest_repeat(tokens: list[int]) -> float:
    n = len(tokens)
    longest = max(
        (
            size
            for size in range(1, n // 2 + 1)
            for i in range(n - size + 1)
            for j in range(i + size, n - size + 1)
            if tokens[i : i + size] == tokens[j : j + size]
        ),
        default=0,
    )
    return 2 * longest / n if n else 0.0


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), max_size=16))
def test_longest_repeat_equals_a_search_of_all_pairs(tokens: list[int]) -> None:
    assert longest_repeat(tokens) == slow_longest_repeat(tokens)
