"""Rows and selectors for tests: every kind of token, every kind of term."""

from __future__ import annotations

from hypothesis import strategies as st

from selfsteer.steering.encoding import Encoded
from selfsteer.steering.selectors import Selector, Set, Text, TokenId
from selfsteer.steering.spelling import Spelling
from tests.steering.students import SPECIAL, build_tokenizer

TOKENIZER = build_tokenizer()
SPELLING = Spelling(TOKENIZER, frozenset(range(len(SPECIAL))))
# Two special tokens and one letter more than the roles have, so that texts occur and overlap.
END, TURN = 6, 4
_ROLES = {"s": "system", "u": "user", "a": "assistant", "t": "text"}


def row(prompt: str, reply: str = "", given: int | None = None) -> Encoded:
    """A row from letters: s, u, a, t are ordinary tokens of a role, capitals special ones.

    `x` is a token of the role before it, and a reply is always the assistant's. `S` is
    scaffolding, written with an ordinary token.
    """
    roles: list[str] = []
    for letter in prompt:
        roles.append(_ROLES.get(letter.lower(), roles[-1] if roles else "text"))
    roles += ["assistant"] * len(reply)
    ids = [_id(letter) for letter in prompt + reply]
    special = [letter.isupper() for letter in prompt + reply]
    return Encoded(ids, len(prompt), roles, special, given, SPELLING)


def _id(letter: str) -> int:
    if letter in "UAT":
        return END if letter == "A" else TURN
    return int(TOKENIZER.convert_tokens_to_ids(letter.lower()))


bounds = st.none() | st.integers(-6, 14)
_turns = st.none() | st.tuples(bounds, bounds).filter(lambda b: b != (None, None))
_named = st.sampled_from(["all", "prompt", "response", "generated", "position"])
terms = st.one_of(
    st.builds(Set, _named, bounds, bounds),
    st.builds(Set, st.sampled_from(["system", "user", "assistant"]), bounds, bounds, _turns),
    st.builds(Set, st.sampled_from(["last", "special"])),
    st.builds(TokenId, st.sampled_from([END, TURN, _id("a"), _id("x"), 10**8])),
    st.builds(Text, st.sampled_from(["a", "ax", "xx", "xax", "x<|end|>", "sa", '"\\', "é"])),
    st.builds(Text, st.sampled_from(["ax", "xx", "xxa", "<|end|>x"])),
)
selectors = st.builds(
    Selector,
    st.lists(terms, min_size=1, max_size=3).map(tuple),
    st.lists(terms, max_size=2).map(tuple),
)
