"""The selector language: reading it, and what each form means on a row."""

from __future__ import annotations

import time
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import SelectorError
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.selectors import Selector, Set, Text, TokenId, parse
from selfsteer.steering.selectors.terms import Term
from tests.steering.rows import SPELLING, row, selectors, terms


def picked(selector: str, where: Encoded) -> list[int]:
    return np.flatnonzero(parse(selector).mask(where)).tolist()


ROW = row("SssUuuUA", "aaAaA")


@pytest.mark.parametrize(
    ("selector", "positions"),
    [
        ("all", [1, 2, 4, 5, 8, 9, 11]),
        ("all + special", list(range(13))),
        ("special", [0, 3, 6, 7, 10, 12]),
        ("prompt", [1, 2, 4, 5]),
        ("response", [8, 9, 11]),
        ("generated", [8, 9, 11]),
        ("system", [1, 2]),
        ("user", [4, 5]),
        ("assistant", [8, 9, 11]),
        ("last", [7]),
        ("response[0:2]", [8, 9]),
        ("response[1:4]", [9, 11]),
        ("response[-2]", [9]),
        ("response[2]", [11]),
        ("response[3]", []),
        ("response[-1]", [11]),
        ("response[9:]", []),
        ("response[:]", [8, 9, 11]),
        ("user[1:]", [5]),
        ("user[0]", [4]),
        ("prompt[-3:-1]", [2, 4]),
        ("all[:2]", [1, 2]),
        ("all[5]", [9]),
        ("position[0]", [0]),
        ("position[3:5]", [3, 4]),
        ("position[-1]", [12]),
        ("position[:]", list(range(13))),
        ("position[99]", []),
        ("system + last", [1, 2, 7]),
        ("all - user", [1, 2, 8, 9, 11]),
        ("all except user", [1, 2, 8, 9, 11]),
        ("all + special - user", [0, 1, 2, 7, 8, 9, 10, 11, 12]),
        ("all + special - user[0]", [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]),
        ("all + special - position[1:12]", [0, 12]),
        ("all - special", [1, 2, 4, 5, 8, 9, 11]),
        ("user - prompt + response[0]", [8]),
        ("user except prompt+response[0]except system", [8]),
        ("last - prompt", []),
        (" response [ 0 : 2 ]+last ", [7, 8, 9]),
    ],
)
def test_sets_and_positions(selector: str, positions: list[int]) -> None:
    assert picked(selector, ROW) == positions


@pytest.mark.parametrize(
    ("selector", "positions"),
    [
        ("assistant", [3, 7, 8]),
        ("assistant[0:2]", [3, 7]),
        ("user[turn 0]", [1]),
        ("user[turn 1]", [5, 6]),
        ("user[turn -1]", [5, 6]),
        ("user[turn 2]", []),
        ("user[turn :]", [1, 5, 6]),
        ("user[turn -1][0]", [5]),
        ("user[turn 0:2][1:]", [5, 6]),
        ("assistant[turn 1:]", [7, 8]),
        ("assistant[turn -1][-1]", [8]),
        ("system[turn 0]", []),
        ("all + special - user[turn 1]", [0, 1, 2, 3, 7, 8]),
    ],
)
def test_turns(selector: str, positions: list[int]) -> None:
    assert picked(selector, row("UuAaUuu", "aa")) == positions


def test_raw_text_has_a_prompt_but_no_user() -> None:
    where = row("Ttt", "a")
    assert picked("prompt", where) == [1, 2]
    assert picked("user", where) == []


def test_what_was_given_is_a_response_but_not_generated() -> None:
    where = row("uu", "aaAaa", given=5)
    assert picked("response", where) == [2, 3, 5, 6]
    assert picked("generated", where) == [5, 6]
    assert picked("generated[0]", where) == [5]
    assert picked("all + special - generated", where) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("selector", "positions"),
    [
        # of a text that ends in the prompt all tokens; overlapping places both count
        ('"xy"', [1, 2, 5, 10]),
        ('"yx"', [2, 3]),
        ('"x"', [1, 3, 4, 9]),
        ('"xyxx"', [1, 2, 3, 4]),
        ('"xxyy"', [6]),
        ('"z"', []),
        # scaffolding is no place for a text, a special token is named by its own
        ('"user"', []),
        ('"<|end|>"', [0, 7]),
        ('"y<|end|>"', [7]),
        ('"\\u0078y"', [1, 2, 5, 10]),
        # an id names the very token wherever it stands
        ("id:6", [0, 7]),
        ('special - "<|end|>"', [8]),
        ('response + special - "xy"', [0, 6, 7, 8, 9]),
        ('user - "xy"', [3, 4]),
        ("user - id:6", [1, 2, 3, 4]),
    ],
)
def test_tokens(selector: str, positions: list[int]) -> None:
    """<|end|> x y x x | y y <|end|> (scaffolding x) x y: the bar is where the response begins."""
    ids = [6, *SPELLING.ways("xyxx")[0], *SPELLING.ways("yy")[0], 6]
    ids += [*SPELLING.ways("xxy")[0]]
    flags = [i in (0, 7, 8) for i in range(len(ids))]
    where = Encoded(ids, 5, ["user"] * 5 + ["assistant"] * 6, flags, spelling=SPELLING)
    assert picked(selector, where) == positions


def test_an_id_is_found_without_a_tokenizer() -> None:
    where = Encoded([7, 8, 7], 2, ["text"] * 3, [False, False, True])
    assert picked("id:7", where) == [0, 2]
    with pytest.raises(SelectorError, match="needs the student's tokenizer"):
        picked('"a"', where)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at character 1: expected a term"),
        ("+ all", "at character 1: expected a term"),
        ("- user", "at character 1: expected a term"),
        ("except user", "at character 1: expected a term"),
        ("all +", "at character 6: expected a term"),
        ("all + +user", "at character 7: expected a term"),
        ("all user", r"at character 5: expected '\+', '-' or the end"),
        ("all, user", r"at character 4: expected '\+', '-' or the end"),
        ("all[0", r"at character 6: expected ':' or '\]'"),
        ("all[0:", r"at character 7: expected a position or '\]'"),
        ("all[0:1", r"at character 8: expected '\]'"),
        ("response[]", "at character 10: expected an index or a slice"),
        ("response[1 2]", r"at character 12: expected ':' or '\]'"),
        ("response[0:4:2]", r"at character 13: expected '\]'"),
        ("response[a]", "at character 10: expected an index or a slice"),
        ("response[--1]", "at character 11: expected a position"),
        ("response[+1]", "at character 10: expected an index"),
        ("response[0][1]", r"at character 12: expected '\+', '-' or the end"),
        ("robot", "Unknown term 'robot' at character 1 of selector 'robot'; it is one of all, "),
        ("all - Robot", "Unknown term 'Robot' at character 7"),
        ("last[0]", "'last' in selector 'last\\[0\\]' takes no slice, .* at character 5"),
        ("special[0]", "takes no slice"),
        ("position", r"at character 9: expected '\[' and a position"),
        ("prompt[turn 0]", "'prompt' .* has no turns, but is asked for one at character 8"),
        ("user[turn]", "at character 10: expected an index or a slice"),
        ("user[0][turn 0]", r"at character 8: expected '\+'"),
        ("response[9999999999]", "number at character 10 .* is beyond any text"),
        (f"id:{'9' * 5000}", "number at character 4 .* is beyond any text"),
        ("id", "at character 3: expected ':' and a token id"),
        ("id:", "at character 4: expected a token id"),
        ("id:-1", "at character 4: expected a token id"),
        ('"Paris', "at character 1: expected a text that ends in '\"'"),
        ('all + "Par\\', "at character 7: expected a text that ends in '\"'"),
        ('all - ""', "at character 7: expected a text with at least one character"),
        ('"\\q"', "at character 1: expected a text with JSON's escapes"),
        ('"\\ud800"', "at character 1: expected a text with JSON's escapes"),
        ('"a"[0]', r"at character 4: expected '\+'"),
        ("all" * 100, "in selector|Unknown term 'allall"),
    ],
)
def test_unreadable(text: str, message: str) -> None:
    with pytest.raises(SelectorError, match=message) as caught:
        parse(text)
    assert len(str(caught.value)) < 400


WORDS = [
    *("all", "prompt", "user", "last", "special", "position", "id", "turn", "except", "robot"),
    *("[", "]", ":", "+", "-", "0", "7", "99999999999", '"a"', '"', "\\", " ", "\n", "²", "\ud800"),
]
scrambled = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)


@given(st.text(max_size=30) | scrambled)
def test_any_text_is_a_selector_or_a_selector_error(text: str) -> None:
    try:
        found = parse(text)
    except SelectorError as error:
        assert str(error).endswith(".")
    else:
        assert parse(str(found)) == found


@pytest.mark.parametrize(
    "piece", ["[", '"', '\\"', '"\\', " ", "all+", "all -", "a", "9", "user[turn ", '"a"+', "id:1-"]
)
def test_reading_takes_time_in_proportion_to_the_length(piece: str) -> None:
    """A hundred thousand characters would take minutes where it did not."""
    start = time.perf_counter()
    with pytest.raises(SelectorError) as caught:
        parse(piece * (100_000 // len(piece)) + "x")
    assert len(str(caught.value)) < 400
    assert time.perf_counter() - start < 20


@given(selectors)
def test_the_written_form_is_read_as_an_equal_selector(selector: Selector) -> None:
    assert parse(str(selector)) == selector
    assert str(parse(str(selector))) == str(selector)


@given(selectors, st.randoms(use_true_random=False))
def test_the_canonical_form_does_not_depend_on_the_order(
    selector: Selector, random: Random
) -> None:
    include, exclude = list(selector.include) * 2, list(selector.exclude) * 2
    random.shuffle(include)
    random.shuffle(exclude)
    other = Selector(tuple(include), tuple(exclude))
    assert other == selector
    assert str(other) == str(selector)
    assert hash(other) == hash(selector)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("user[0] + all", "all + user[0:1]"),
        ("last+response[:8]  except\tuser", "response[:8] + last - user"),
        ('"\\u00e9" + id:007 + id:7 + position[-1]', 'position[-1:] + id:7 + "é"'),
        ("user[turn -1][2] - special - all - special", "user[turn -1:][2:3] - all - special"),
        ("user[turn:][:]", "user"),
    ],
)
def test_canonical_forms(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


def test_what_reading_gives() -> None:
    assert parse('user[turn 1][0:2] - id:3 + "a\\n"') == Selector(
        (Text("a\n"), Set("user", 0, 2, (1, 2))), (TokenId(3),)
    )
    assert parse(parse("all")) is parse("all")


lines = st.text("sutSUTx", min_size=1, max_size=8)
replies = st.text("aAx", max_size=8)


@given(selectors, terms, lines, replies)
def test_exclusion_always_wins(selector: Selector, out: Term, prompt: str, reply: str) -> None:
    where = row(prompt, reply)
    without = Selector(selector.include, (*selector.exclude, out)).mask(where)
    span = Selector((out,)).mask(where)
    assert not (without & span).any()
    assert not (without & ~selector.mask(where)).any()


@given(selectors, terms, lines, replies)
def test_a_union_is_the_union(selector: Selector, more: Term, prompt: str, reply: str) -> None:
    where = row(prompt, reply)
    joined = Selector((*selector.include, more))
    parts = Selector(selector.include).mask(where) | Selector((more,)).mask(where)
    assert (joined.mask(where) == parts).all()
    assert not (selector.mask(where) & ~Selector(selector.include).mask(where)).any()


@given(selectors, lines, replies)
def test_special_tokens_match_only_when_named(selector: Selector, prompt: str, reply: str) -> None:
    where = row(prompt, reply)
    unnamed = [
        term
        for term in selector.include
        if isinstance(term, Set) and term.name not in ("special", "last", "position")
    ]
    if unnamed:
        assert not (Selector(tuple(unnamed)).mask(where) & np.array(where.special)).any()
