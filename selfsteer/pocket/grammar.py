"""Pocket's grammar: parallel sentences in three languages with independently varied attributes.

A sentence is a *frame* whose slots are filled from the lexicon of its topic and mood, with an
optional opener and closer of its register and persona. The same plan rendered in two languages
gives translations of each other, so language is an attribute like the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from selfsteer.pocket.lexicon import (
    FAMILIES,
    LANGUAGES,
    MOODS,
    PERSONAS,
    REGISTERS,
    TOPICS,
    Phrase,
)

# Slots: S subject, P predicate, N thing, L place (topic); M manner, C clause (mood).
FRAMES: tuple[Phrase, ...] = (
    ("{S} {P} {M}", "{S} {P} {M}", "{S} {P} {M}"),
    ("{S} {P} {L} and {C}", "{S} {P} {L} et {C}", "{S} {P} {L} und {C}"),
    ("today I see {N} {M}", "aujourd'hui je vois {N} {M}", "heute sehe ich {N} {M}"),
    ("I know {N} {L} and {C}", "je connais {N} {L} et {C}", "ich kenne {N} {L} und {C}"),
    ("{N} waits {L} {M}", "{N} attend {L} {M}", "{N} wartet {L} {M}"),
    ("we remember {N} and {C}", "nous évoquons {N} et {C}", "wir erinnern {N} und {C}"),
)

SHORT_FRAMES = (0, 2, 5)  # those without a place

LANGUAGE_PRIOR = (0.4, 0.3, 0.3)
REGISTER_RATE = 0.8
PERSONA_RATE = 0.7


class Attributes(NamedTuple):
    """One value of each family."""

    mood: str
    register: str
    topic: str
    language: str
    persona: str


@dataclass(frozen=True)
class Sentence:
    """What a sentence says, without its words; indices point into the lexicon's tuples."""

    attributes: Attributes
    frame: int
    subject: int
    predicate: int
    thing: int
    place: int
    manner: int
    clause: int
    register: int | None
    persona: int | None

    def rewritten(self, **values: str) -> Sentence:
        """The same content with other attribute values."""
        return replace(self, attributes=self.attributes._replace(**values))


def draw_attributes(rng: Random, **fixed: str) -> Attributes:
    """Attributes from the prior, with some families fixed."""
    values = {
        family: rng.choices(LANGUAGES, LANGUAGE_PRIOR)[0]
        if family == "language"
        else rng.choice(names)
        for family, names in FAMILIES.items()
    }
    return Attributes(**(values | fixed))


def draw_sentence(
    rng: Random,
    attributes: Attributes,
    *,
    register: bool = True,
    persona: bool = True,
    frames: Sequence[int] = tuple(range(len(FRAMES))),
) -> Sentence:
    """A random sentence that carries the attributes (register and persona only if asked)."""
    topic, mood = TOPICS[attributes.topic], MOODS[attributes.mood]
    return Sentence(
        attributes=attributes,
        frame=rng.choice(frames),
        subject=rng.randrange(len(topic.subjects)),
        predicate=rng.randrange(len(topic.predicates)),
        thing=rng.randrange(len(topic.things)),
        place=rng.randrange(len(topic.places)),
        manner=rng.randrange(len(mood.manners)),
        clause=rng.randrange(len(mood.clauses)),
        register=rng.randrange(len(style_phrases("register", attributes.register)))
        if register
        else None,
        persona=rng.randrange(len(style_phrases("persona", attributes.persona)))
        if persona
        else None,
    )


def style_phrases(family: str, value: str) -> tuple[Phrase, ...]:
    """Openers, then closers, of a register or persona."""
    style = (REGISTERS if family == "register" else PERSONAS)[value]
    return style.openers + style.closers


def render(sentence: Sentence) -> str:
    """The sentence in its language, with capital and full stop."""
    attributes = sentence.attributes
    topic, mood = TOPICS[attributes.topic], MOODS[attributes.mood]
    column = LANGUAGES.index(attributes.language)
    words = FRAMES[sentence.frame][column].format(
        S=topic.subjects[sentence.subject][column],
        P=topic.predicates[sentence.predicate][column],
        N=topic.things[sentence.thing][column],
        L=topic.places[sentence.place][column],
        M=mood.manners[sentence.manner][column],
        C=mood.clauses[sentence.clause][column],
    )
    for family, index in (("register", sentence.register), ("persona", sentence.persona)):
        if index is not None:
            words = _wrap(words, family, getattr(attributes, family), index, column)
    return words[0].upper() + words[1:] + "."


def _wrap(words: str, family: str, value: str, index: int, column: int) -> str:
    phrase = style_phrases(family, value)[index][column]
    openers = (REGISTERS if family == "register" else PERSONAS)[value].openers
    return f"{phrase}, {words}" if index < len(openers) else f"{words}, {phrase}"


def draw_reply(rng: Random, attributes: Attributes, sentences: int) -> list[Sentence]:
    """Sentences without repetition in which every family is expressed at least once."""
    has_register = _presence(rng, REGISTER_RATE, sentences)
    has_persona = _presence(rng, PERSONA_RATE, sentences)
    reply: list[Sentence] = []
    while len(reply) < sentences:
        position = len(reply)
        sentence = draw_sentence(
            rng, attributes, register=has_register[position], persona=has_persona[position]
        )
        if sentence not in reply and all(_content(sentence) != _content(s) for s in reply):
            reply.append(sentence)
    return reply


def _content(sentence: Sentence) -> str:
    return render(replace(sentence, register=None, persona=None))


def _presence(rng: Random, rate: float, count: int) -> list[bool]:
    flags = [rng.random() < rate for _ in range(count)]
    if not any(flags):
        flags[rng.randrange(count)] = True
    return flags


def render_reply(sentences: list[Sentence]) -> str:
    """Sentences joined by a space."""
    return " ".join(render(sentence) for sentence in sentences)


def phrases() -> Iterator[tuple[str, str, Phrase]]:
    """Every phrase of the lexicon as (family, value, phrase); topics and moods with all slots."""
    for name, topic in TOPICS.items():
        for slot in topic:
            yield from (("topic", name, phrase) for phrase in slot)
    for name, mood in MOODS.items():
        for slot in mood:
            yield from (("mood", name, phrase) for phrase in slot)
    for family, styles in (("register", REGISTERS), ("persona", PERSONAS)):
        for name in styles:
            yield from ((family, name, phrase) for phrase in style_phrases(family, name))
