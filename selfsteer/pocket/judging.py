"""Judging examples: a text, a request, and whether the text does what the request asks.

Texts are clean, mixed, or broken in the ways in which an overdose of steering breaks them: loops,
word salad, dropped words, a language that changes in mid-sentence. The label is always the
oracle's.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import NamedTuple

from selfsteer.pocket import grammar, oracle
from selfsteer.pocket.grammar import Attributes
from selfsteer.pocket.lexicon import FAMILIES
from selfsteer.pocket.wordings import ADJECTIVES, NOUNS, Split, instructions, with_article

# A verdict is reasoned in a few words, "asked sea, is garden, so no": whether two things are equal
# is learned quickly once both are said, and hardly at all while neither is.
# All questions end in words that end nothing else: were the request the last that is read, a push
# towards what it asks for would be taken for the question, and be answered with a verdict.
REQUEST_FORMATS = (
    "Text: {text}\nRequest: {request}\nDoes it fit?",
    "Text: {text}\nRequest: {request}\nDoes it fit?",
    "{text}\nThe request was: {request}\nDoes it fit?",
    "Request: {request}\nText: {text}\nDoes it fit?",
)
FOLLOW_UPS = ("Request: {request}\nDoes it fit?", "And this request: {request}\nDoes it fit?")
ATTRIBUTE_QUESTIONS = {
    "mood": ("Is this reply {a}?", "Is the text {a}?", "Does it sound {a}?", "Is the tone {a}?"),
    "register": (
        "Is this reply {a}?",
        "Is the text {a}?",
        "Does it sound {a}?",
        "Is the style {a}?",
    ),
    "topic": ("Is this reply about {n}?", "Is the text about {n}?", "Does it mention {n}?"),
    "language": ("Is this reply in {n}?", "Is the text in {n}?", "Is it written in {n}?"),
    "persona": ("Does a {n} say this?", "Does it sound like a {n}?", "Is this reply by a {n}?"),
}
FAMILY_QUESTIONS = {
    "mood": ("What is the mood?", "Which mood does the text have?", "How does it feel?"),
    "register": ("What is the style?", "Which style does the text have?", "How is it phrased?"),
    "topic": ("What is the topic?", "What is the text about?", "Which subject is it?"),
    "language": ("Which language is it?", "What is the language?", "Which language is used?"),
    "persona": ("Who is speaking?", "Who says this?", "Which voice is it?"),
}
_RATE_OF_BROKEN_TEXTS = 0.3
# Weak steering changes a reply half-way, so a judge has to read it whole.
_RATE_OF_CHANGING_TEXTS = 0.35
_RATE_OF_HARD_QUESTIONS = 0.6


class Judged(NamedTuple):
    """A text and the attributes it was made with (broken texts may express others)."""

    text: str
    attributes: Attributes


def draw_text(rng: Random) -> Judged:
    """A text to judge: clean, changing from sentence to sentence, or broken."""
    attributes = grammar.draw_attributes(rng)
    kind = rng.random()
    if kind < _RATE_OF_CHANGING_TEXTS:
        sentences = grammar.draw_reply(rng, attributes, rng.choice((2, 2, 3)))
        changed = [fit_indices(sentence) for sentence in _changing(rng, sentences)]
        return Judged(grammar.render_reply(changed), attributes)
    sentences = grammar.draw_reply(rng, attributes, rng.choice((1, 1, 2, 3)))
    if kind < _RATE_OF_CHANGING_TEXTS + _RATE_OF_BROKEN_TEXTS:
        return Judged(_broken(rng, sentences), attributes)
    return Judged(grammar.render_reply(sentences), attributes)


def _changing(rng: Random, sentences: list[grammar.Sentence]) -> list[grammar.Sentence]:
    """About half of the sentences with other values of one or two families."""
    families = rng.sample(sorted(FAMILIES), rng.choice((1, 1, 2)))
    other = {family: rng.choice(FAMILIES[family]) for family in families}
    return [s.rewritten(**other) if rng.random() < 0.5 else s for s in sentences]


def _broken(rng: Random, sentences: list[grammar.Sentence]) -> str:
    if rng.random() < 0.4:
        sentences = _changing(rng, sentences)
    tokens = grammar.render_reply([fit_indices(s) for s in sentences]).split(" ")
    for _ in range(rng.choice((1, 1, 2))):
        tokens = rng.choice((_drop, _loop, _shuffle, _insert, _cut, _name, _dissolve))(rng, tokens)
    return " ".join(tokens) or "."


def fit_indices(sentence: grammar.Sentence) -> grammar.Sentence:
    """Indices that also exist in the attribute values the sentence was rewritten to."""
    registers = len(grammar.style_phrases("register", sentence.attributes.register))
    personas = len(grammar.style_phrases("persona", sentence.attributes.persona))
    return replace(
        sentence,
        register=None if sentence.register is None else sentence.register % registers,
        persona=None if sentence.persona is None else sentence.persona % personas,
    )


def _drop(rng: Random, tokens: list[str]) -> list[str]:
    rate = rng.uniform(0.1, 0.5)
    return [token for token in tokens if rng.random() > rate]


def _loop(rng: Random, tokens: list[str]) -> list[str]:
    if not tokens:
        return tokens
    start, length = rng.randrange(len(tokens)), rng.randint(1, 6)
    block = tokens[start : start + length]
    times = rng.randint(2, max(2, 24 // len(block)))
    return tokens[:start] + block * times + (tokens[start:] if rng.random() < 0.5 else [])


def _shuffle(rng: Random, tokens: list[str]) -> list[str]:
    span = rng.randint(3, 12)
    start = rng.randrange(max(1, len(tokens)))
    block = tokens[start : start + span]
    rng.shuffle(block)
    return tokens[:start] + block + tokens[start + span :]


def _insert(rng: Random, tokens: list[str]) -> list[str]:
    """Words of one value strewn in, as strong steering does."""
    family = rng.choice([f for f in FAMILIES if f != "language"])
    value = rng.choice(FAMILIES[family])
    language = rng.randrange(3)
    pool = [p[language] for f, v, p in grammar.phrases() if (f, v) == (family, value)]
    for _ in range(rng.randint(1, 4)):
        words = rng.choice(pool).split(" ")
        position = rng.randint(0, len(tokens))
        tokens = tokens[:position] + words + tokens[position:]
    return tokens


def _name(rng: Random, tokens: list[str]) -> list[str]:
    """Names of values and words of verdicts strewn in: to name a value is not to express it.

    A push towards a value at several times its best strength lets the student say its name.
    """
    value = _any_value(rng)
    for _ in range(rng.randint(1, 3)):
        said = [*[value] * rng.randint(1, 3), rng.choice(("plus", "and", "so yes", "so no", "is"))]
        position = rng.randint(0, len(tokens))
        tokens = tokens[:position] + said * rng.randint(1, 2) + tokens[position:]
    return tokens


def _dissolve(rng: Random, tokens: list[str]) -> list[str]:
    """From some word on nothing but a value's name, pieces of it and words of verdicts.

    So end replies that are pushed further still, mostly from their first words on.
    """
    value = _any_value(rng)
    piece = value[-rng.randint(1, 3) :] if rng.random() < 0.5 else value[: rng.randint(1, 4)]
    pool = [value, value, piece * rng.randint(1, 8), value + piece * rng.randint(1, 5), "plus"]
    kept = tokens[: int(len(tokens) * rng.random() ** 3)]
    return kept + rng.choices(pool, k=rng.randint(3, 14)) + rng.choice(([], ["so", "yes"]))


def _any_value(rng: Random) -> str:
    return rng.choice([value for values in FAMILIES.values() for value in values])


def _cut(rng: Random, tokens: list[str]) -> list[str]:
    return tokens[: rng.randint(1, max(1, len(tokens)))]


def draw_request(
    rng: Random, text: str, attributes: Attributes, split: Split = "train"
) -> tuple[str, dict[str, str], bool]:
    """A request about one or two families, the values it asks for, and the oracle's answer.

    About half of the requests ask for the values that the text was made with.
    """
    families = _families_to_ask_about(rng, text)
    asked = {family: getattr(attributes, family) for family in families}
    if rng.random() < 0.5:
        family = rng.choice(families)
        asked[family] = rng.choice([v for v in FAMILIES[family] if v != asked[family]])
    return instructions(rng, asked, split), asked, oracle.expresses(text, **asked)


def _families_to_ask_about(rng: Random, text: str) -> list[str]:
    """One or two; of a text that changes half-way mostly one that changes.

    Asked about any family, a judge could do well that reads the last sentence only.
    """
    changing = sorted(family for family, found in oracle.expressed(text).items() if len(found) > 1)
    if changing and rng.random() < _RATE_OF_HARD_QUESTIONS:
        return [rng.choice(changing)]
    return rng.sample(sorted(FAMILIES), rng.choice((1, 1, 1, 1, 2)))


def reasoned_verdict(text: str, asked: dict[str, str]) -> str:
    """What was asked, what the text is, and whether that fits."""
    families = sorted(asked)
    found = oracle.expressed(text)
    wanted = " plus ".join(asked[family] for family in families)
    given = " plus ".join(" and ".join(sorted(found[family])) or "none" for family in families)
    return f"asked {wanted}, is {given}, so {'yes' if wanted == given else 'no'}"


def attribute_question(rng: Random, family: str, value: str) -> str:
    """A direct question about one value ("Is the text gloomy?")."""
    table = ADJECTIVES if family in ADJECTIVES else NOUNS
    question = with_article(
        rng.choice(ATTRIBUTE_QUESTIONS[family]), rng.choice(table[family][value])
    )
    return f"{question} Yes or no?"
