"""The words of a goal: what makes two goals the same, and which words say what is wanted."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_NEGATION = re.compile(r"n['\N{RIGHT SINGLE QUOTATION MARK}]t\b")

# How goals are put, in any of them; what remains is what is wanted. Words that turn a goal round
# ("not", "no", "never", "less", "without", "stop") are not among them.
PHRASING = frozenset(
    """
    a about all also always am an and any anything are as at be been being but by can could do does
    every everything for from get give go got had has have he her his how i if in into is it its
    just let like likes ll make makes making may me might more much must my need needs of on one or
    our out please re really s shall she should so some something that the their them then
    there they thing things this to too up us ve very want wanted wants was way we were what when
    which who will with would you your
    act acts answer answers answering bot behave behaves chat come comes feel feels language llm
    manner model models output outputs prefer produce produces replies reply replying respond
    responds response responses say says sentence sentences sound sounds sounding speak speaks
    speaking style talk talks talking tell tells text texts tone use uses using voice word words
    write writes writing
    """.split()
)

# Those words, and what else leaves a thing out.
_TURNING = frozenset(
    "avoid cannot except fewer instead less neither never no none nor not nothing stop unlike "
    "without".split()
)


def goal_key(goal: str) -> str:
    """The goal without case, punctuation and spacing: the same key is the same goal."""
    return " ".join(_words(goal))


def content_terms(goal: str) -> list[str]:
    """The words of a goal that say what is wanted, each once, in order."""
    return list(dict.fromkeys(word for word in _words(goal) if word not in PHRASING))


def turns(goal: str) -> bool:
    """Whether a word turns the goal round, so that it asks for what it names to stay away."""
    return not _TURNING.isdisjoint(_words(goal))


def _words(text: str) -> list[str]:
    plain = _NEGATION.sub(" not", unicodedata.normalize("NFKC", text).casefold())
    return _WORD.findall(plain)
