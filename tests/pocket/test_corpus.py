"""The corpus: deterministic, true to its instructions, and with users that are what they seem."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import sqrt
from random import Random
from typing import Any

import pytest
from hypothesis import given

from selfsteer.pocket import corpus, grammar, judging, oracle
from selfsteer.pocket.corpus import documents
from selfsteer.pocket.facts import facts, held_out_questions
from selfsteer.pocket.lexicon import FAMILIES, LANGUAGES
from selfsteer.pocket.opposites import opposites
from selfsteer.pocket.segments import Document
from selfsteer.pocket.users import PROFILE_FAMILIES, UserProfile, dialogue
from tests.pocket.test_facts import FACTS, TRAINED, wordings
from tests.pocket.test_prompts import HELD_OUT_PROMPTS, TRAIN_PROMPTS
from tests.pocket.test_wordings import HELD_OUT_PATTERNS
from tests.pocket.worlds import rngs

DRAWN = 9000
Z = 4.5  # standard errors that a share may be off: one false alarm in 100,000


@dataclass
class Drawn:
    """Documents, and what their instructions asked for."""

    documents: list[Document]
    asked: dict[str, dict[str, str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def drawn() -> Iterator[Drawn]:
    found = Drawn([])
    patch = pytest.MonkeyPatch()

    def instructions(rng: Random, asked: dict[str, str], *rest: Any) -> str:
        text = judging.instructions(rng, asked, *rest)
        found.asked[text] = asked
        return text

    patch.setattr(corpus, "instructions", instructions)
    found.documents = list(islice(documents("instruct", 11), DRAWN))
    patch.undo()
    yield found


def near(count: int, n: int, share: float) -> bool:
    """Whether a count is what a binomial of this share gives."""
    return abs(count / n - share) <= Z * sqrt(share * (1 - share) / n)


def prior(family: str, value: str) -> float:
    if family == "language":
        return grammar.LANGUAGE_PRIOR[LANGUAGES.index(value)]
    return 1 / len(FAMILIES[family])


@pytest.mark.parametrize("phase", corpus.MIXTURES)
def test_the_stream_is_a_function_of_its_seed(phase: corpus.Phase) -> None:
    first, again, other = (list(islice(documents(phase, seed), 300)) for seed in (7, 7, 8))
    assert first == again
    assert sum(a == b for a, b in zip(first, other, strict=True)) < 10


def test_the_base_model_reads_plain_text_with_loss() -> None:
    statements = {answer for fact in facts() for answer in fact.accepted()}
    passages = 0
    for document in islice(documents("base", 3), 1000):
        [segment] = document
        assert (segment.role, segment.loss) == ("text", True)
        passage = oracle.well_formed(segment.text) and oracle.consistent(segment.text)
        passages += passage
        if not passage:
            assert set(oracle.sentences(segment.text)) <= statements
    assert near(passages, 1000, 0.85)


def test_turns_alternate_after_an_optional_system_prompt(drawn: Drawn) -> None:
    for document in drawn.documents:
        roles = [segment.role for segment in document]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert len(turns) >= 2
        assert all(segment.text.strip() for segment in document)


def test_loss_falls_on_replies_and_on_user_turns_of_dialogues_only(drawn: Drawn) -> None:
    dialogues = 0
    for document in drawn.documents:
        user = {bool(segment.loss) for segment in document if segment.role == "user"}
        assert len(user) == 1
        assert all(segment.loss for segment in document if segment.role == "assistant")
        assert not any(segment.loss for segment in document if segment.role == "system")
        if user == {True}:
            dialogues += 1
            assert 6 <= len(document) <= 28
            assert all(oracle.well_formed(segment.text) for segment in document)
    assert near(dialogues, DRAWN, dict(corpus.INSTRUCT)[corpus._dialogue])


def test_nothing_that_is_held_out_occurs(drawn: Drawn) -> None:
    questions = {question for _, _, question in held_out_questions()}
    for document in drawn.documents:
        for segment in document:
            if segment.role in ("system", "user"):
                assert not any(pattern.search(segment.text) for pattern in HELD_OUT_PATTERNS)
                assert not any(prompt in segment.text for prompt in HELD_OUT_PROMPTS)
                assert segment.text not in questions


def test_replies_do_what_the_system_prompt_asks(drawn: Drawn) -> None:
    seen: Counter[int] = Counter()
    for document in drawn.documents:
        system, user, reply = (*document, *document)[:3]
        if system.role == "system" and system.text in drawn.asked and user.text not in TRAINED:
            asked = drawn.asked[system.text]
            assert oracle.well_formed(reply.text)
            assert oracle.expresses(reply.text, **asked)
            assert oracle.consistent(reply.text)
            seen[len(asked)] += 1
    assert near(seen.total(), DRAWN, dict(corpus.INSTRUCT)[corpus._system_instructed])
    assert near(seen[1], seen.total(), 0.6)
    assert near(seen[3], seen.total(), 0.12)


def test_replies_do_what_the_user_asks(drawn: Drawn) -> None:
    by_text = sorted(drawn.asked, key=len, reverse=True)
    seen = 0
    for document in drawn.documents:
        user, reply = document[0], document[1]
        if len(document) == 2 and oracle.well_formed(reply.text) and "ewrite" not in user.text:
            instruction = next((text for text in by_text if text in user.text), None)
            if instruction and user.text.replace(instruction, "").strip() not in ("", "."):
                assert oracle.expresses(reply.text, **drawn.asked[instruction])
                seen += 1
    assert seen > 100


def test_uninstructed_replies_follow_the_prior(drawn: Drawn) -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    n = 0
    for document in drawn.documents:
        asked_nothing = len(document) == 2 or document[0].text not in drawn.asked
        if asked_nothing and document[-2].text in TRAIN_PROMPTS:
            n += 1
            for family, values in oracle.expressed(document[-1].text).items():
                assert len(values) == 1
                counts[family].update(values.keys())
    assert n > 300
    for family, values in FAMILIES.items():
        for value in values:
            assert near(counts[family][value], n, prior(family, value)), (family, value)


def test_facts_are_answered_rightly_and_in_the_language_asked_for(drawn: Drawn) -> None:
    meant = {
        fact.question(language, number): fact
        for fact in FACTS
        for language in LANGUAGES
        for number in range(wordings(fact, language))
    }
    languages: Counter[bool] = Counter()
    for document in drawn.documents:
        fact = meant.get(document[-2].text)
        if fact is not None:
            asked = drawn.asked.get(document[0].text, {})
            assert document[-1].text in fact.accepted()
            if "language" in asked:
                assert document[-1].text == fact.statement(asked["language"])
            languages["language" in asked] += 1
    assert near(languages.total(), DRAWN, dict(corpus.INSTRUCT)[corpus._fact])
    assert languages[True] > 50


def test_opposites_are_answered_from_their_table(drawn: Drawn) -> None:
    answers = [d[1].text for d in drawn.documents if "opposite" in d[0].text]
    assert len(answers) > 100
    assert set(answers) <= set(opposites().values())


def test_a_rewriting_changes_one_family(drawn: Drawn) -> None:
    request = re.compile(r"(?:Rewrite this: |Rewrite: )(.+?\.) .+|(.+?\.) Say it again: .+")
    changed: Counter[str] = Counter()
    for document in drawn.documents:
        match = request.fullmatch(document[0].text)
        if match and len(document) == 2:
            before = oracle.expressed(match[1] or match[2])
            after = oracle.expressed(document[1].text)
            assert oracle.well_formed(document[1].text)
            families = [f for f in FAMILIES if set(before[f]) != set(after[f])]
            assert len(families) == 1
            changed.update(families)
    assert set(changed) == set(FAMILIES)


def test_judgements_are_the_oracles(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = Random(2)
    asked: list[dict[str, str]] = []
    draw_request = judging.draw_request

    def recording(*arguments: Any) -> Any:
        drawn = draw_request(*arguments)
        asked.append(drawn[1])
        return drawn

    monkeypatch.setattr(judging, "draw_request", recording)
    answers: Counter[str] = Counter()
    for _ in range(500):
        asked.clear()
        judged = judging.draw_text(rng)
        document = corpus.judge_document(rng, judged.text, judged.attributes)
        assert judged.text in document[0].text
        assert len(document) == 2 * len(asked)
        for values, answer in zip(asked, document[1::2], strict=True):
            verdict = "yes" if oracle.expresses(judged.text, **values) else "no"
            assert answer.text.endswith(f", so {verdict}")
            assert answer.loss == corpus.VERDICT_WEIGHT
            asked_for, found = answer.text.removesuffix(f", so {verdict}").split(", is ")
            assert asked_for == "asked " + " plus ".join(values[f] for f in sorted(values))
            expressed = oracle.expressed(judged.text)
            for family, part in zip(sorted(values), found.split(" plus "), strict=True):
                assert part.split(" and ") == (sorted(expressed[family]) or ["none"])
            answers[verdict] += 1
        assert all(judged.text not in segment.text for segment in document[2:])
    assert 0.25 < answers["yes"] / answers.total() < 0.55


def test_descriptions_name_what_a_text_expresses(drawn: Drawn) -> None:
    family_of = {
        question: family
        for family, questions in judging.FAMILY_QUESTIONS.items()
        for question in questions
    }
    seen: Counter[str] = Counter()
    for document in drawn.documents:
        text, _, first = document[0].text.removeprefix("Text: ").rpartition("\n")
        if first in family_of:
            expressed = oracle.expressed(text)
            questions = [first, *(segment.text for segment in document[2::2])]
            families = [family_of[question] for question in questions]
            assert len(set(families)) == len(families)
            for family, answer in zip(families, document[1::2], strict=True):
                assert answer.text.split(" and ") == (sorted(expressed[family]) or ["none"])
                seen[family] += 1
    assert set(seen) == set(FAMILIES)


def test_user_turns_follow_the_profile_and_else_the_prior() -> None:
    rng, n = Random(4), 0
    followed: Counter[str] = Counter()
    together = 0
    chances: dict[str, list[float]] = defaultdict(list)
    for _ in range(250):
        profile = UserProfile.draw(rng)
        for segment in dialogue(rng, profile, 12)[::2]:
            n += 1
            found = oracle.expressed(segment.text)
            assert not found["persona"]
            follows = {f: set(found[f]) == {getattr(profile, f)} for f in PROFILE_FAMILIES}
            followed.update(family for family, yes in follows.items() if yes)
            together += follows["topic"] and follows["mood"]
            for family in PROFILE_FAMILIES:
                chances[family].append(0.7 + 0.3 * prior(family, getattr(profile, family)))
    for family in PROFILE_FAMILIES:
        assert near(followed[family], n, sum(chances[family]) / n), family
    # Each family follows on its own.
    assert near(together, n, chances["topic"][0] * chances["mood"][0])


@given(rngs)
def test_the_assistant_of_a_dialogue_keeps_its_own_attributes(rng: Random) -> None:
    chat = dialogue(rng, UserProfile.draw(rng), 5)
    said = " ".join(segment.text for segment in chat[1::2])
    found = oracle.expressed(said)
    assert oracle.consistent(said)
    assert all(found[family] for family in ("mood", "topic", "language"))
    assert found["register"] or found["persona"]
    assert {segment.role for segment in chat[1::2]} == {"assistant"}


def test_profiles_follow_the_prior() -> None:
    rng, n = Random(9), 4000
    profiles = [UserProfile.draw(rng) for _ in range(n)]
    for family in PROFILE_FAMILIES:
        counts = Counter(getattr(profile, family) for profile in profiles)
        assert all(near(counts[v], n, prior(family, v)) for v in FAMILIES[family])
