"""How a tokenizer writes a text: needed to find the text among the tokens of a row."""

from __future__ import annotations

from typing import Any

from selfsteer.errors import SelectorError

# What stands before a word changes its tokens: a space belongs to the word in most vocabularies,
# and some mark every start of a text as if a space stood there, which a line break prevents.
_BEFORE = (" ", "\n")


class Spelling:
    """The token sequences of texts, each worked out once.

    Args:
        tokenizer: a Hugging Face tokenizer.
        special: ids of its special tokens.
    """

    def __init__(self, tokenizer: Any, special: frozenset[int]) -> None:
        self.special = special
        self._tokenizer = tokenizer
        self._known: dict[str, tuple[tuple[int, ...], ...]] = {}

    def ways(self, text: str) -> tuple[tuple[int, ...], ...]:
        """Every sequence of ids that stands for a text, at its start or within a longer one.

        A sequence that only adds tokens before another one is left out.

        Raises:
            SelectorError: when the vocabulary has no tokens for the text.
        """
        if text not in self._known:
            found = {tuple(self._ids(text)), *(self._behind(before, text) for before in _BEFORE)}
            usable = {way for way in found if way and not self._lost(way, text)}
            if not usable:
                raise SelectorError(
                    f"The student's vocabulary has no tokens for {text!r}; name a text that it can "
                    "write."
                )
            self._known[text] = tuple(sorted(way for way in usable if not _adds(way, usable)))
        return self._known[text]

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _behind(self, before: str, text: str) -> tuple[int, ...]:
        """The tokens of a text that stands behind another, with what they share of it."""
        head, joint = self._ids(before), self._ids(before + text)
        if joint[: len(head)] == head:
            return tuple(joint[len(head) :])
        # A space may be written as one with the word; a line break so written is another word.
        return tuple(joint) if before == " " else ()

    def _lost(self, way: tuple[int, ...], text: str) -> bool:
        """Whether something of the text became the token that stands for anything unknown."""
        unknown = self._tokenizer.unk_token_id
        return unknown in way and text.strip() != self._tokenizer.unk_token


def _adds(way: tuple[int, ...], others: set[tuple[int, ...]]) -> bool:
    """Whether a sequence is another one with tokens before it."""
    return any(way[i:] in others for i in range(1, len(way)))
