"""The selector language: reading it, and one meaning whenever it is asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import SelectorError
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.selectors import Selector, Term, parse

NAMES = ["all", "prompt", "response", "system", "user", "assistant"]


def row(prompt: str, reply: str = "") -> Encoded:
    """A row from letters: s, u, a, t are ordinary tokens of a role, capitals special ones."""
    names = {"s": "system", "u": "user", "a": "assistant", "t": "text"}
    roles = [names[c.lower()] for c in prompt + reply]
    special = [c.isupper() for c in prompt + reply]
    return Encoded(list(range(len(roles))), len(prompt), roles, special)


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
        ("user[1:]", [5]),
        ("user[0]", [4]),
        ("prompt[-3:-1]", [2, 4]),
        ("all[:2]", [1, 2]),
        ("system + last", [1, 2, 7]),
        ("all - user", [1, 2, 8, 9, 11]),
        ("all + special - user", [0, 1, 2, 7, 8, 9, 10, 11, 12]),
        ("all + special - user[0]", [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]),
        ("all - special", [1, 2, 4, 5, 8, 9, 11]),
        ("user - prompt + response[0]", [8]),
        ("last - prompt", []),
        (" response [ 0 : 2 ]+last ", [7, 8, 9]),
    ],
)
def test_meaning(selector: str, positions: list[int]) -> None:
    assert picked(selector, ROW) == positions


def test_assistant_spans_all_turns() -> None:
    where = row("UuAaUuA", "aa")
    assert picked("assistant", where) == [3, 7, 8]
    assert picked("assistant[0:2]", where) == [3, 7]


def test_raw_text_has_a_prompt_but_no_user() -> None:
    where = row("Ttt", "a")
    assert picked("prompt", where) == [1, 2]
    assert picked("user", where) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at character 1: expected a term"),
        ("+ all", "at character 1: expected a term"),
        ("- user", "at character 1: expected a term"),
        ("all +", "at character 6: expected a term"),
        ("all user", "at character 5: expected '\\+', '-' or the end"),
        ("response[]", "expected an index or a slice"),
        ("response[1 2]", "expected an index or a slice"),
        ("response[0:4:2]", "cannot be read at character 9"),
        ("response[a]", "cannot be read at character 9"),
        ("robot", "Unknown term 'robot'"),
        ("last[0]", "'last' in selector .* takes no slice"),
        ("special[0]", "takes no slice"),
        ("response[99999999999]", "beyond any text"),
    ],
)
def test_unreadable(text: str, message: str) -> None:
    with pytest.raises(SelectorError, match=message):
        parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_selector_or_a_selector_error(text: str) -> None:
    try:
        assert isinstance(parse(text), Selector)
    except SelectorError as error:
        assert str(error).endswith(".")


bounds = st.none() | st.integers(-6, 6)
sliced = st.builds(Term, st.sampled_from(NAMES), bounds, bounds)
terms = sliced | st.builds(Term, st.sampled_from(["last", "special"]))
selectors = st.builds(
    Selector,
    st.lists(terms, min_size=1, max_size=3).map(tuple),
    st.lists(terms, max_size=2).map(tuple),
)
prompts = st.text("sutSUT", min_size=1, max_size=8)
replies = st.text("aA", max_size=8)


@given(selectors, prompts, replies)
def test_written_form_means_the_same(selector: Selector, prompt: str, reply: str) -> None:
    where = row(prompt, reply)
    assert (parse(str(selector)).mask(where) == selector.mask(where)).all()


@given(selectors, terms, prompts, replies)
def test_exclusion_always_wins(selector: Selector, out: Term, prompt: str, reply: str) -> None:
    where = row(prompt, reply)
    without = Selector(selector.include, (*selector.exclude, out)).mask(where)
    span = Selector((out,)).mask(where)
    assert not (without & span).any()
    assert not (without & ~selector.mask(where)).any()


@given(selectors, prompts, replies)
def test_special_tokens_match_only_when_named(selector: Selector, prompt: str, reply: str) -> None:
    named = any(t.name in ("special", "last") for t in selector.include)
    where = row(prompt, reply)
    if not named:
        assert not (selector.mask(where) & np.array(where.special)).any()


@given(selectors, prompts, replies)
def test_growing_a_reply_means_the_same_as_reading_it(
    selector: Selector, prompt: str, reply: str
) -> None:
    known = row(prompt)
    if selector.needs_end:
        with pytest.raises(SelectorError, match="counts from the end"):
            selector.reply_masks(known, len(reply))
        return
    plain, special = selector.reply_masks(known, len(reply))
    flags = np.array([c.isupper() for c in reply], dtype=bool)
    whole = selector.mask(row(prompt, reply))
    assert (whole[: len(prompt)] == selector.mask(known)).all()
    ordinals = np.cumsum(~flags) - 1
    assert (whole[len(prompt) :] == np.where(flags, special, plain[ordinals])).all()
