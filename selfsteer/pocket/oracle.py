"""The oracle: exactly which attributes a text of Pocket's world expresses, and whether it parses.

Markers are derived from the lexicon, not listed: a word marks a value of a family when, of all
phrases of that family, only phrases of that value contain it; a word marks a language when only
that language has it. Parsing is blind to attributes: any topic, mood, register and persona may be
combined, but a sentence keeps to one language.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache

from selfsteer.pocket.grammar import FRAMES, phrases
from selfsteer.pocket.lexicon import FAMILIES, LANGUAGES, MOODS, PERSONAS, REGISTERS, TOPICS

_WORD = re.compile(r"\w+(?:-\w+)*")


def words(text: str) -> list[str]:
    """Lower-case words; apostrophes separate, hyphens join."""
    return _WORD.findall(text.lower())


@cache
def markers() -> dict[str, dict[str, str]]:
    """Per family: word -> the one value that it marks."""
    seen: dict[str, dict[str, set[str]]] = {family: defaultdict(set) for family in FAMILIES}
    for family, value, phrase in phrases():
        for text in phrase:
            for word in words(text):
                seen[family][word].add(value)
    every_phrase = [phrase for _, _, phrase in phrases()]
    every_phrase += [tuple(re.sub(r"\{.\}", " ", part) for part in frame) for frame in FRAMES]  # type: ignore[misc]
    for phrase in every_phrase:
        for language, text in zip(LANGUAGES, phrase, strict=True):
            for word in words(text):
                seen["language"][word].add(language)
    used_elsewhere = _families_of_words()
    return {
        family: {
            word: next(iter(values))
            for word, values in table.items()
            if len(values) == 1 and (family == "language" or used_elsewhere[word] == {family})
        }
        for family, table in seen.items()
    }


def _families_of_words() -> dict[str, set[str]]:
    """A word of two families, or of a frame, marks neither: "with a smile", "by my wand"."""
    families: dict[str, set[str]] = defaultdict(set)
    for family, _, phrase in phrases():
        for text in phrase:
            for word in words(text):
                families[word].add(family)
    for frame in FRAMES:
        for text in frame:
            for word in words(re.sub(r"\{.\}", " ", text)):
                families[word].add("frame")
    return families


def expressed(text: str) -> dict[str, dict[str, int]]:
    """Per family: how many markers of each value the text holds."""
    found: dict[str, dict[str, int]] = {family: {} for family in FAMILIES}
    table = markers()
    for word in words(text):
        for family, marks in table.items():
            value = marks.get(word)
            if value is not None:
                found[family][value] = found[family].get(value, 0) + 1
    return found


def expresses(text: str, **asked: str) -> bool:
    """True when, for every family asked, the text holds markers of the asked value and no other."""
    found = expressed(text)
    return all(set(found[family]) == {value} for family, value in asked.items())


@cache
def _sentence_patterns() -> tuple[re.Pattern[str], ...]:
    return tuple(_language_pattern(column) for column in range(len(LANGUAGES)))


def _language_pattern(column: int) -> re.Pattern[str]:
    def alternatives(texts: list[str]) -> str:
        return "(?:" + "|".join(sorted(map(re.escape, set(texts)), key=len, reverse=True)) + ")"

    slots = {
        "S": [p[column] for t in TOPICS.values() for p in t.subjects],
        "P": [p[column] for t in TOPICS.values() for p in t.predicates],
        "N": [p[column] for t in TOPICS.values() for p in t.things],
        "L": [p[column] for t in TOPICS.values() for p in t.places],
        "M": [p[column] for m in MOODS.values() for p in m.manners],
        "C": [p[column] for m in MOODS.values() for p in m.clauses],
    }
    groups = {slot: alternatives(texts) for slot, texts in slots.items()}
    core = "(?:" + "|".join(frame[column].format(**groups) for frame in FRAMES) + ")"
    register_open = alternatives([p[column] for s in REGISTERS.values() for p in s.openers])
    register_close = alternatives([p[column] for s in REGISTERS.values() for p in s.closers])
    persona_open = alternatives([p[column] for s in PERSONAS.values() for p in s.openers])
    persona_close = alternatives([p[column] for s in PERSONAS.values() for p in s.closers])
    return re.compile(
        f"(?:{persona_open}, )?(?:{register_open}, )?{core}"
        f"(?:, {register_close})?(?:, {persona_close})?"
    )


def sentences(text: str) -> list[str]:
    """The text cut after every full stop; what follows the last full stop is kept as a tail."""
    return [part for part in re.split(r"(?<=\.)\s+", text.strip()) if part]


def parses(sentence: str) -> bool:
    """Is this one well-formed sentence, capital and full stop included?"""
    if len(sentence) < 2 or not sentence.endswith(".") or not sentence[0].isupper():
        return False
    body = sentence[:-1]
    # Sentence-initial capitals: German nouns keep theirs, so both spellings are tried.
    return any(
        pattern.fullmatch(form)
        for form in (body[0].lower() + body[1:], body)
        for pattern in _sentence_patterns()
    )


def well_formed(text: str) -> bool:
    """Every sentence parses and none is said twice; an empty or cut reply is malformed."""
    parts = sentences(text)
    return bool(parts) and len(set(parts)) == len(parts) and all(map(parses, parts))


def consistent(text: str) -> bool:
    """No family is expressed with two values."""
    return all(len(values) <= 1 for values in expressed(text).values())
