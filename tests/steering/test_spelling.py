"""How tokenizers of several kinds write a text."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from selfsteer.errors import SelectorError
from selfsteer.steering.spelling import Spelling
from tests.steering.rows import SPELLING


def spelling(vocabulary: dict[str, int], pre: Any = None, normalizer: Any = None) -> Spelling:
    """A tokenizer of whole words, with `?` for those that it does not know."""
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="?", max_input_chars_per_word=99))
    backend.pre_tokenizer = pre
    backend.normalizer = normalizer
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?")
    return Spelling(tokenizer, frozenset(tokenizer.all_special_ids))


def test_a_token_for_each_letter() -> None:
    """The space before a word is a token of its own here, and no part of the word."""
    (way,) = SPELLING.ways("ab")
    assert len(way) == 2
    assert SPELLING.ways(" ab") == ((SPELLING.ways(" ")[0][0], *way),)


def test_a_special_token_is_written_as_itself() -> None:
    assert SPELLING.ways("<|end|>") == ((6,),)


def test_words_with_their_space() -> None:
    vocabulary = {"?": 0, "Paris": 1, "ĠParis": 2, "##Paris": 3, "Ġ": 4, "Ċ": 5}
    found = spelling(vocabulary, pre_tokenizers.ByteLevel(add_prefix_space=False))
    assert found.ways("Paris") == ((1,), (2,))
    assert found.ways(" Paris") == ((2,),)


def test_a_start_of_text_marked_as_a_space() -> None:
    """The line break shows the form that stands inside a text."""
    vocabulary = {"?": 0, "▁Paris": 1, "##Paris": 2, "▁": 3, "\n": 4, "▁\n": 5}
    found = spelling(vocabulary, pre_tokenizers.Metaspace(prepend_scheme="first"))
    assert (1,) in found.ways("Paris")
    assert (2,) in found.ways("Paris")


def test_what_the_tokenizer_takes_for_the_same() -> None:
    vocabulary = {"?": 0, "paris": 1}
    found = spelling(vocabulary, pre_tokenizers.Whitespace(), normalizers.Lowercase())
    assert found.ways("PARIS") == ((1,),)


@pytest.mark.parametrize("text", ["rome", "paris rome", "  "])
def test_texts_that_the_vocabulary_has_not(text: str) -> None:
    found = spelling({"?": 0, "paris": 1}, pre_tokenizers.Whitespace())
    with pytest.raises(SelectorError, match="has no tokens for"):
        found.ways(text)
    assert found.ways("?") == ((0,),)


def test_python_tokenizers() -> None:
    tokenizer = ByT5Tokenizer()
    found = Spelling(tokenizer, frozenset(tokenizer.all_special_ids))
    assert found.ways("é") == ((0xC3 + 3, 0xA9 + 3),)
