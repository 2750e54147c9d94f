"""Open prompts: held-out ones are not trained on, and none says what a reply should be."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given

from selfsteer.pocket.lexicon import LANGUAGES
from selfsteer.pocket.prompts import HELD_OUT, OPEN, open_prompt
from tests.pocket.worlds import rngs

TRAIN_PROMPTS = {text for texts in OPEN.values() for text in texts}
HELD_OUT_PROMPTS = {text for texts in HELD_OUT.values() for text in texts}


def test_every_language_has_prompts_of_both_splits() -> None:
    assert set(OPEN) == set(HELD_OUT) == set(LANGUAGES)
    listed = [text for table in (OPEN, HELD_OUT) for texts in table.values() for text in texts]
    assert len(set(listed)) == len(listed)


@given(rngs)
def test_splits_keep_to_their_prompts(rng: Random) -> None:
    assert open_prompt(rng, "held_out") in HELD_OUT_PROMPTS
    assert open_prompt(rng) not in HELD_OUT_PROMPTS


def test_about_an_eighth_of_training_prompts_have_invented_words() -> None:
    rng = Random(0)
    drawn = [open_prompt(rng) for _ in range(4000)]
    invented = [text for text in drawn if text not in TRAIN_PROMPTS]
    assert 0.10 < len(invented) / len(drawn) < 0.15
    assert len(set(invented)) > 0.9 * len(invented)
    assert set(drawn) >= TRAIN_PROMPTS


def test_half_of_the_listed_prompts_are_english() -> None:
    rng = Random(1)
    language = {text: name for name, texts in OPEN.items() for text in texts}
    counts = Counter(language.get(open_prompt(rng)) for _ in range(4000))
    listed = counts.total() - counts[None]
    assert 0.46 < counts["english"] / listed < 0.54
    assert 0.21 < counts["french"] / listed < 0.29
