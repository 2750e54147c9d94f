"""Replies under a grammar: they match whatever the student, and nothing else about them changes."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from selfsteer.errors import GrammarError, StudentError
from selfsteer.steering import decoding
from selfsteer.steering.generate import end_ids, generate
from selfsteer.steering.grammar import Grammar
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.sampling import choose, uniforms
from tests.steering.students import (
    PROMPTS,
    build_model,
    build_student,
    build_vector,
    grown,
    mixed_plans,
    reference_logits,
)

SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["glad", "sad", 'so "so"']},
        "level": {"type": "integer", "minimum": -3, "maximum": 12},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 3},
    },
    "required": ["mood", "level", "words"],
    "additionalProperties": False,
}
WORDS = ("ab", "abc", "cd", "d")  # one ends where another goes on


def check(reply: str) -> None:
    """What the schema says, said again."""
    told = json.loads(reply)
    assert list(told) == ["mood", "level", "words"]
    assert told["mood"] in SCHEMA["properties"]["mood"]["enum"]  # type: ignore[index]
    assert isinstance(told["level"], int) and -3 <= told["level"] <= 12
    assert len(told["words"]) <= 3
    assert all(isinstance(word, str) and len(word) <= 4 for word in told["words"])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    temperature=st.one_of(st.just(0.0), st.floats(1e-6, 1e3)),
    steered=st.booleans(),
)
def test_every_reply_is_json_under_its_schema(
    llama: Student, seed: int, temperature: float, steered: bool
) -> None:
    plan = Plan.single(build_vector(llama), 1, 1.0) if steered else None
    replies = generate(
        llama,
        PROMPTS[:3],
        plan,
        max_new_tokens=120,
        temperature=temperature,
        seed=seed,
        grammar=Grammar.json(SCHEMA),
    )
    for reply in replies:
        assert reply.finished
        check(reply.text)


def test_every_plan_and_family_keeps_to_it(student: Student) -> None:
    plans = mixed_plans(student, PROMPTS)
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(len(plans))]
    replies = generate(
        student, prompts, plans, max_new_tokens=120, seed=4, grammar=Grammar.json(SCHEMA)
    )
    assert all(reply.finished for reply in replies)
    for reply in replies:
        check(reply.text)


@pytest.mark.parametrize(
    ("grammar", "pattern"),
    [
        (Grammar.regex(r"(up|down){1,3}[0-9]?"), r"(up|down){1,3}[0-9]?"),
        (Grammar.lark('start: "<" inner{1,2} ">"\ninner: /[xyz]/ | "é"'), "<[xyzé]{1,2}>"),
    ],
)
def test_other_ways_to_write_a_grammar(llama: Student, grammar: Grammar, pattern: str) -> None:
    texts = {
        reply.text
        for seed in range(4)
        for reply in generate(llama, PROMPTS, max_new_tokens=20, seed=seed, grammar=grammar)
    }
    assert len(texts) > 1
    assert all(re.fullmatch(pattern, text) for text in texts)


def by_hand(student: Student, prompt: Prompt, plan: Plan, row: int, temperature: float) -> str:
    """One of WORDS, found without a library: forward by forward, with all but the next letters
    of the words that are still possible ruled out."""
    draws = torch.from_numpy(uniforms(5, np.array([row]), 6))
    said = ""
    ends = sorted(end_ids(student))
    while True:
        letters = {word[len(said)] for word in WORDS if word.startswith(said) and word != said}
        if said in WORDS and not letters:
            return said
        possible = [student.tokenizer.convert_tokens_to_ids(letter) for letter in letters]
        possible += ends if said in WORDS else []
        ids = student.tokenizer.convert_tokens_to_ids(list(said))
        logits = reference_logits(student, grown(student, prompt, ids), plan)[-1:]
        ruled = torch.full_like(logits, -torch.inf)
        ruled[:, possible] = logits[:, possible]
        token = int(choose(ruled, temperature, draws[:, len(said)]))
        if token in ends:
            return said
        said += student.tokenizer.convert_ids_to_tokens(token)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 20.0])
def test_the_same_as_ruling_out_by_hand(student: Student, temperature: float) -> None:
    vector = build_vector(student)
    plans = [Plan.single(vector, 1, 0.3 * i) if i else Plan.none() for i in range(len(PROMPTS))]
    replies = generate(
        student,
        PROMPTS,
        plans,
        max_new_tokens=6,
        temperature=temperature,
        seed=5,
        grammar=Grammar.regex("|".join(WORDS)),
    )
    expected = [
        by_hand(student, prompt, plan, i, temperature)
        for i, (prompt, plan) in enumerate(zip(PROMPTS, plans, strict=True))
    ]
    assert [reply.text for reply in replies] == expected
    assert all(reply.finished for reply in replies)


def test_a_reply_does_not_depend_on_its_batch(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"max_new_tokens": 120, "grammar": Grammar.json(SCHEMA)}
    together = generate(student, PROMPTS, seed=2, **options)
    assert generate(student, PROMPTS, seed=2, batch_tokens=1, **options) == together
    for share in (0.0, 2.0):  # rows that are done are dropped at once, or never
        monkeypatch.setattr(decoding, "_DROP_AT", share)
        assert generate(student, PROMPTS, seed=2, **options) == together
    forwards = generate(student, PROMPTS, temperature=0, **options)
    backwards = generate(student, PROMPTS[::-1], temperature=0, **options)
    assert backwards == forwards[::-1]


def test_a_grammar_that_forbids_nothing_changes_nothing(student: Student) -> None:
    free = generate(student, PROMPTS, max_new_tokens=30, seed=1)
    words = {reply.text for reply in free}
    held = generate(student, PROMPTS, max_new_tokens=30, seed=1, grammar=Grammar.regex("[^☃]*"))
    # Bytes that are no UTF-8, and special tokens in mid-reply, are not text to a grammar.
    same = [
        (a, b)
        for a, b in zip(free, held, strict=True)
        if not set(a.ids) & student.special_ids and "\N{REPLACEMENT CHARACTER}" not in a.text
    ]
    assert words and all(a == b for a, b in same)


def test_a_finished_grammar_ends_the_reply_without_another_forward(llama: Student) -> None:
    steps: list[int] = []
    with llama.model.register_forward_pre_hook(lambda *_: steps.append(1)):
        (reply,) = generate(llama, PROMPTS[:1], max_new_tokens=50, grammar=Grammar.regex("abc"))
    assert (reply.text, reply.finished, len(reply.ids), len(steps)) == ("abc", True, 3, 3)


def test_a_limit_cuts_a_reply_short(llama: Student) -> None:
    (reply,) = generate(llama, PROMPTS[:1], max_new_tokens=2, grammar=Grammar.regex("abc"))
    assert (reply.text, reply.finished) == ("ab", False)


def test_watched_tokens_are_weighed_without_the_grammar(llama: Student) -> None:
    watched = llama.tokenizer.convert_tokens_to_ids(["a", "z"])
    (reply,) = generate(
        llama, PROMPTS[:1], max_new_tokens=9, watch=watched, grammar=Grammar.regex("abc")
    )
    row = grown(llama, PROMPTS[0], reply.ids)
    logits = reference_logits(llama, row, Plan.none())[row.prompt_length - 1 : -1]
    expected = torch.log_softmax(logits, -1)[:, watched]
    torch.testing.assert_close(torch.tensor(reply.watched), expected, atol=1e-4, rtol=0)


def test_an_overdose_does_not_break_out(llama: Student) -> None:
    student = build_student("llama")
    student.model.to(torch.float16)
    plan = Plan.single(build_vector(student), 1, 1e7, "ablate", "response[1:]")
    for temperature in (0.0, 1.0):
        replies = generate(
            student,
            PROMPTS,
            plan,
            max_new_tokens=9,
            temperature=temperature,
            grammar=Grammar.regex("abc|cba"),
            overflow="end",
        )
        # The second token of a reply is the first whose activations overflow.
        assert {reply.text for reply in replies} <= {"ab", "cb"}
        assert not any(reply.finished for reply in replies)


def test_a_draw_that_misses_falls_on_the_likeliest(
    llama: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = generate(
        llama, PROMPTS, max_new_tokens=9, temperature=0, grammar=Grammar.regex("[a-z]{3}")
    )
    monkeypatch.setattr(decoding, "choose", lambda logits, *_: torch.zeros(len(logits)).long())
    found = generate(llama, PROMPTS, max_new_tokens=9, grammar=Grammar.regex("[a-z]{3}"))
    assert found == expected


def test_a_model_with_more_outputs_than_tokens() -> None:
    student = build_student("llama", vocab_size=300)
    replies = generate(student, PROMPTS, max_new_tokens=9, grammar=Grammar.regex("[a-z]{1,9}"))
    assert all(re.fullmatch("[a-z]{1,9}", reply.text) for reply in replies)


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        (Grammar.regex("(ab"), "The regex grammar cannot be used: .*unclosed group"),
        (Grammar.json({"type": "colour"}), "The json grammar cannot be used: .*colour"),
        (Grammar.lark("begin: /a/"), "The lark grammar cannot be used: "),
    ],
)
def test_a_grammar_that_cannot_be_read(llama: Student, grammar: Grammar, message: str) -> None:
    with pytest.raises(GrammarError, match=message) as caught:
        generate(llama, PROMPTS, grammar=grammar)
    assert "\n" not in str(caught.value)


def test_a_grammar_that_grows_too_complex_ends_in_a_sentence(llama: Student) -> None:
    names = [f"x{i}" for i in range(2500)]
    rules = [f"start: /a/ y\ny: {' | '.join(names)}"]
    rules += [f'{name}: "b" {name} | "c{name}"' for name in names]
    with pytest.raises(GrammarError, match=r"A reply lost its grammar: .*max is 2000.*\.$"):
        generate(llama, PROMPTS[:1], max_new_tokens=9, grammar=Grammar.lark("\n".join(rules)))


def test_a_missing_package_is_named(llama: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(GrammarError, match=r"pip install 'selfsteer\[grammar\]'"):
        generate(llama, PROMPTS, grammar=Grammar.regex("a"))
    assert generate(llama, PROMPTS[:1], max_new_tokens=1)


def test_a_tokenizer_without_bytes_is_refused() -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2, "</s>": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>")
    student = Student.wrap(build_model("llama", vocab_size=4), tokenizer, "wordy")
    with pytest.raises(StudentError, match="The tokenizer of wordy cannot be held to a grammar"):
        generate(student, [Prompt.raw("a b")], grammar=Grammar.regex("a"))


def test_a_student_that_cannot_end_is_refused() -> None:
    student = build_student("llama", template=None)
    student.tokenizer.eos_token = None
    student.model.generation_config.eos_token_id = None
    with pytest.raises(StudentError, match="no token that ends a reply"):
        generate(student, [Prompt.raw("a b")], grammar=Grammar.regex("a"))


def test_real_tokenizers(real_student: Student) -> None:
    """Pieces with a mark for the space before them; one of the two cannot spell every byte."""
    prompts = [Prompt.raw("Once upon a time"), Prompt.raw("The sun")]
    if "<0x41>" not in real_student.tokenizer.get_vocab():
        with pytest.raises(StudentError, match="whose tokens stand for bytes"):
            generate(real_student, prompts, grammar=Grammar.json(SCHEMA))
        return
    for seed in range(3):
        for reply in generate(
            real_student, prompts, max_new_tokens=120, seed=seed, grammar=Grammar.json(SCHEMA)
        ):
            check(reply.text)
