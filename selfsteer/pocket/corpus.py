"""The documents that Pocket is trained on: plain text for base, chats and skills for instruct.

Documents are tuples of segments; a segment says who speaks and whether its tokens carry loss.
The stream is endless and deterministic in its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Literal

from selfsteer.pocket import grammar, judging, oracle
from selfsteer.pocket.facts import QUESTIONS, facts
from selfsteer.pocket.grammar import Attributes
from selfsteer.pocket.lexicon import FAMILIES, LANGUAGES
from selfsteer.pocket.opposites import opposite_question
from selfsteer.pocket.prompts import open_prompt
from selfsteer.pocket.segments import Document, Segment
from selfsteer.pocket.users import UserProfile, dialogue
from selfsteer.pocket.wordings import instruction, instructions

Phase = Literal["base", "chat", "instruct", "robust"]
_FACTS = tuple(facts())
_IDLE_SYSTEMS = (
    "You are a helpful assistant.",
    "You are an assistant.",
    "Answer the user.",
    "Be helpful.",
    "You answer questions.",
    "This is a chat.",
    "You talk with a user.",
)
# A verdict is a few tokens behind a long text; without weight it would be learned late.
VERDICT_WEIGHT = 3.0


def documents(phase: Phase, seed: int) -> Iterator[Document]:
    """An endless stream of documents."""
    rng = Random(f"{phase}-{seed}")
    makers, weights = zip(*MIXTURES[phase], strict=True)
    while True:
        yield rng.choices(makers, weights)[0](rng)


def _passage(rng: Random) -> Document:
    sentences = grammar.draw_reply(rng, grammar.draw_attributes(rng), rng.randint(2, 7))
    return (Segment("text", grammar.render_reply(sentences), True),)


def _stated_facts(rng: Random) -> Document:
    language = rng.choice(LANGUAGES)
    statements = (rng.choice(_FACTS).statement(language) for _ in range(rng.randint(1, 4)))
    return (Segment("text", " ".join(statements), True),)


def _reply(rng: Random, attributes: Attributes) -> Segment:
    sentences = grammar.draw_reply(rng, attributes, rng.choice((2, 2, 2, 3, 3)))
    return Segment("assistant", grammar.render_reply(sentences), True)


def _asked(rng: Random) -> dict[str, str]:
    families = rng.sample(sorted(FAMILIES), rng.choices((1, 2, 3), (0.6, 0.28, 0.12))[0])
    return {family: rng.choice(FAMILIES[family]) for family in families}


def _system_instructed(rng: Random) -> Document:
    asked = _asked(rng)
    return (
        Segment("system", instructions(rng, asked), False),
        Segment("user", open_prompt(rng), False),
        _reply(rng, grammar.draw_attributes(rng, **asked)),
    )


def _user_instructed(rng: Random) -> Document:
    asked = _asked(rng)
    parts = [open_prompt(rng), instructions(rng, asked)]
    rng.shuffle(parts)
    return (
        Segment("user", " ".join(parts), False),
        _reply(rng, grammar.draw_attributes(rng, **asked)),
    )


def _uninstructed(rng: Random) -> Document:
    chat = (Segment("user", open_prompt(rng), False), _reply(rng, grammar.draw_attributes(rng)))
    return _idle_system(rng) + chat


def _idle_system(rng: Random) -> Document:
    return (Segment("system", rng.choice(_IDLE_SYSTEMS), False),) if rng.random() < 0.3 else ()


def _fact(rng: Random) -> Document:
    """A question and its answer; an instructed language decides the answer's language."""
    fact, language = rng.choice(_FACTS), rng.choice(LANGUAGES)
    system = _idle_system(rng)
    answer_language = language
    if rng.random() < 0.5:
        asked = _asked(rng)
        answer_language = asked.get("language", language)
        system = (Segment("system", instructions(rng, asked), False),)
    wording = rng.randrange(len(QUESTIONS[fact.kind]["train"][LANGUAGES.index(language)]))
    return (
        *system,
        Segment("user", fact.question(language, wording), False),
        Segment("assistant", fact.statement(answer_language), True),
    )


def _judgement(rng: Random) -> Document:
    """One text, one to three questions about it."""
    judged = judging.draw_text(rng)
    return judge_document(rng, judged.text, judged.attributes)


def judge_document(rng: Random, text: str, attributes: Attributes) -> Document:
    """Questions about a given text, answered by the oracle with its reason."""
    turns: list[Segment] = []
    for number in range(rng.choice((1, 1, 2, 3))):
        request, asked, _ = judging.draw_request(rng, text, attributes)
        formats: tuple[str, ...] = judging.FOLLOW_UPS if number else judging.REQUEST_FORMATS
        if len(asked) == 1 and rng.random() < 0.2:
            request = judging.attribute_question(rng, *next(iter(asked.items())))
            formats = ("{request}",) if number else ("Text: {text}\n{request}",)
        question = rng.choice(formats).format(text=text, request=request)
        turns += answered(question, text, asked)
    return tuple(turns)


def answered(question: str, text: str, asked: dict[str, str]) -> tuple[Segment, Segment]:
    """A question whether a text has the values that are asked for, and the oracle's verdict."""
    verdict = judging.reasoned_verdict(text, asked)
    return Segment("user", question, False), Segment("assistant", verdict, VERDICT_WEIGHT)


def _description(rng: Random) -> Document:
    """One text, and which values of some families it expresses."""
    text = judging.draw_text(rng).text
    found = oracle.expressed(text)
    turns: list[Segment] = []
    for number, family in enumerate(rng.sample(sorted(FAMILIES), rng.randint(1, 3))):
        question = rng.choice(judging.FAMILY_QUESTIONS[family])
        question = question if number else f"Text: {text}\n{question}"
        turns.append(Segment("user", question, False))
        values = " and ".join(sorted(found[family])) or "none"
        turns.append(Segment("assistant", values, VERDICT_WEIGHT))
    return tuple(turns)


def _opposite(rng: Random) -> Document:
    question, answer = opposite_question(rng)
    return (Segment("user", question, False), Segment("assistant", answer, True))


def _rewrite(rng: Random) -> Document:
    """A sentence said again with one attribute changed."""
    attributes = grammar.draw_attributes(rng)
    family = rng.choice(sorted(FAMILIES))
    value = rng.choice([v for v in FAMILIES[family] if v != getattr(attributes, family)])
    sentence = grammar.draw_sentence(
        rng, attributes, register=family == "register", persona=family == "persona"
    )
    request = rng.choice(("Rewrite this: {s} {i}.", "{s} Say it again: {i}.", "Rewrite: {s} {i}."))
    target = judging.fit_indices(sentence.rewritten(**{family: value}))
    wording = instruction(rng, family, value)
    return (
        Segment("user", request.format(s=grammar.render(sentence), i=wording), False),
        Segment("assistant", grammar.render(target), True),
    )


def _dialogue(rng: Random) -> Document:
    return dialogue(rng, UserProfile.draw(rng), rng.randint(3, 14))


Maker = Callable[[Random], Document]
BASE: tuple[tuple[Maker, float], ...] = ((_passage, 0.85), (_stated_facts, 0.15))
# Chats first without weight on judging, which is learned only once attributes are told apart.
CHAT: tuple[tuple[Maker, float], ...] = (
    (_system_instructed, 0.35),
    (_user_instructed, 0.06),
    (_uninstructed, 0.10),
    (_fact, 0.14),
    (_judgement, 0.18),
    (_opposite, 0.03),
    (_rewrite, 0.04),
    (_dialogue, 0.10),
)
INSTRUCT: tuple[tuple[Maker, float], ...] = (
    (_system_instructed, 0.32),
    (_user_instructed, 0.04),
    (_uninstructed, 0.06),
    (_fact, 0.13),
    (_judgement, 0.22),
    (_description, 0.03),
    (_opposite, 0.02),
    (_rewrite, 0.02),
    (_dialogue, 0.16),
)
# Under noise judging suffers first: a reply that changes half-way has to be read whole.
ROBUST: tuple[tuple[Maker, float], ...] = (
    (_system_instructed, 0.30),
    (_user_instructed, 0.08),
    (_uninstructed, 0.07),
    (_fact, 0.10),
    (_judgement, 0.22),
    (_description, 0.03),
    (_opposite, 0.02),
    (_rewrite, 0.02),
    (_dialogue, 0.16),
)
MIXTURES: dict[Phase, tuple[tuple[Maker, float], ...]] = {
    "base": BASE,
    "chat": CHAT,
    "instruct": INSTRUCT,
    "robust": ROBUST,
}
