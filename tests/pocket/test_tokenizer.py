"""The tokenizer reads any text, keeps its template, and loads through the ordinary classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from selfsteer.pocket.tokenizer import END, ROLES, train_tokenizer

TEXTS = ["The frog sings.", "Der Frosch übt.", "L'été, la grenouille chante."] * 4
TOKENIZER = train_tokenizer(TEXTS, 360)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    TOKENIZER.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(text: str) -> None:
    ids = TOKENIZER(text, add_special_tokens=False).input_ids
    if not any(token in text for token in TOKENIZER.all_special_tokens):
        assert TOKENIZER.decode(ids) == text


def test_raw_text_gets_a_bos(loaded: PreTrainedTokenizerFast) -> None:
    assert loaded("frog").input_ids[0] == loaded.bos_token_id
    assert loaded.decode(loaded("frog").input_ids, skip_special_tokens=True) == "frog"


def test_frequent_words_are_single_tokens(loaded: PreTrainedTokenizerFast) -> None:
    assert len(loaded(" grenouille", add_special_tokens=False).input_ids) == 1


def test_the_template_puts_nothing_between_turns(loaded: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "system", "content": "Sing."}, {"role": "user", "content": "Frog?"}]
    text = loaded.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|bos|><|system|>Sing.<|end|><|user|>Frog?<|end|><|assistant|>"
    ids = loaded.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert ids == loaded(text, add_special_tokens=False).input_ids
    assert ids[-1] == loaded.convert_tokens_to_ids(ROLES["assistant"])


def test_special_tokens_are_known_as_such(loaded: PreTrainedTokenizerFast) -> None:
    assert set(ROLES.values()) | {END} <= set(loaded.all_special_tokens)
    assert loaded.vocab_size == len(loaded) == len(TOKENIZER)
