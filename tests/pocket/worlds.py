"""Random pieces of Pocket's world for property tests."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from selfsteer.pocket import grammar
from selfsteer.pocket.grammar import Attributes, Sentence
from selfsteer.pocket.lexicon import FAMILIES

rngs = st.integers(0, 2**32).map(Random)
families = st.sampled_from(sorted(FAMILIES))
attributes = st.builds(Attributes, **{f: st.sampled_from(FAMILIES[f]) for f in FAMILIES})


@st.composite
def replies(draw: st.DrawFn, least: int = 1, most: int = 5) -> list[Sentence]:
    """A reply with some attributes and some number of sentences."""
    return grammar.draw_reply(draw(rngs), draw(attributes), draw(st.integers(least, most)))


@st.composite
def cores(draw: st.DrawFn) -> Sentence:
    """A sentence without opener and closer, which may be left out and so hide a mutation."""
    return grammar.draw_sentence(draw(rngs), draw(attributes), register=False, persona=False)
