"""Holding replies to a grammar: which tokens each row may say next, by the library llguidance.

A mask is made on the CPU after each token and laid over the logits before the next is chosen, next
to the loop's own wait for the token; nothing of this happens inside a hook.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from selfsteer.errors import GrammarError, StudentError
from selfsteer.steering.blocks import text_config
from selfsteer.steering.editing.said import Index
from selfsteer.steering.grammar import Grammar
from selfsteer.steering.model import Student
from selfsteer.steering.selectors import Mask

_SPELLING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_SHOWN = 200  # characters of what llguidance says
# Reading a large vocabulary takes about a second, so it is done once for each student.
_vocabularies: WeakKeyDictionary[Student, Any] = WeakKeyDictionary()


class Constraint:
    """A grammar, made ready for the tokens of a student.

    Args:
        ends: the tokens that may end a reply.

    Raises:
        GrammarError: llguidance is not installed, or cannot read the grammar.
        StudentError: a tokenizer that llguidance cannot read, a student with no token that ends.
    """

    def __init__(self, student: Student, grammar: Grammar, ends: frozenset[int]) -> None:
        library = _library()
        vocabulary = _vocabulary(student, ends)
        text = _text(library, grammar)
        failed, messages = library.LLMatcher.validate_grammar_with_warnings(text, vocabulary)
        if failed:
            raise GrammarError(f"The {grammar.kind} grammar cannot be used: {_short(messages[0])}.")
        self._size = vocabulary.vocab_size
        self._start = library.LLMatcher(vocabulary, text, log_level=0)
        self._executor = library.LLExecutor()

    def begin(self, rows: int) -> Matching:
        """The beginnings of as many replies."""
        return Matching([self._start.deep_copy() for _ in range(rows)], self._size, self._executor)


class Matching:
    """How far each reply of a batch has come in its grammar."""

    def __init__(self, matchers: list[Any], size: int, executor: Any) -> None:
        self._matchers, self._size, self._executor = matchers, size, executor
        self._masks = import_module("llguidance.numpy")

    def restrict(self, logits: Tensor, place: Index, done: Mask) -> Tensor:
        """[B, V] logits of the same shares, with -inf for what a reply may not say next.

        Args:
            place: [B] which reply each row writes.
            done: [B] rows whose reply has ended; they may say anything.
        """
        bits = self._masks.allocate_token_bitmask(len(place), self._size)
        live = [(self._matchers[place[at]], at) for at in np.flatnonzero(~done).tolist()]
        self._masks.fill_next_token_bitmask_par(self._executor, live, bits)
        octets = torch.from_numpy(bits.view(np.uint8)).to(logits.device)
        allowed = _unpack(octets, logits.shape[-1])
        # Broken logits would be chosen from at random, and what is forbidden must not be among it.
        sound = logits.float().nan_to_num(nan=0.0).masked_fill(~allowed, -torch.inf)
        # The best at 0, so that no temperature, however low, can push it out of range.
        return sound - sound.amax(-1, keepdim=True)

    def take(self, ids: Index, place: Index, done: Mask) -> Mask:
        """Go on by the tokens [B] just chosen; says which replies allow nothing more.

        Raises:
            GrammarError: a grammar that outgrows llguidance's limits on the way.
        """
        whole = np.zeros(len(place), dtype=bool)
        for at in np.flatnonzero(~done).tolist():
            matcher = self._matchers[place[at]]
            matcher.consume_token(int(ids[at]))
            if matcher.is_error():
                raise GrammarError(f"A reply lost its grammar: {_short(matcher.get_error())}.")
            whole[at] = matcher.is_stopped()
        return whole


def only_allowed(chosen: Tensor, logits: Tensor) -> Tensor:
    """[B] the tokens chosen from restricted logits, the likeliest one for any that was ruled out.

    A cumulative sum on a GPU need not rise steadily in its last digit, so a draw can, once in a
    great while, fall on a token of no probability.
    """
    ruled_out = logits.gather(-1, chosen[:, None]).squeeze(-1).isneginf()
    return torch.where(ruled_out, logits.argmax(-1), chosen)


def _library() -> Any:
    try:
        return import_module("llguidance")
    except ImportError as error:
        raise GrammarError(
            "Generating under a grammar needs the package llguidance; install it with: "
            "pip install 'selfsteer[grammar]'."
        ) from error


def _vocabulary(student: Student, ends: frozenset[int]) -> Any:
    """The student's tokens as llguidance reads them."""
    if not ends:
        raise StudentError(
            f"{student.name} has no token that ends a reply, so it cannot be held to a grammar; "
            "wrap it with a tokenizer that has an end-of-text token."
        )
    known = _vocabularies.get(student)
    if known is None or set(known.eos_tokens) != ends:
        size = max(len(student.tokenizer), text_config(student.model).vocab_size)
        read = import_module("llguidance.hf").from_tokenizer
        try:
            _vocabularies[student] = read(student.tokenizer, size, sorted(ends))
        except ValueError as error:
            raise StudentError(
                f"The tokenizer of {student.name} cannot be held to a grammar "
                f"({str(error).partition(':')[0]}); it must be a fast tokenizer whose tokens "
                "stand for bytes."
            ) from error
    return _vocabularies[student]


def _text(library: Any, grammar: Grammar) -> str:
    """The grammar as llguidance takes it."""
    if grammar.kind == "json":
        made = library.LLMatcher.grammar_from_json_schema(grammar.source, overrides=_SPELLING)
    elif grammar.kind == "regex":
        made = library.LLMatcher.grammar_from_regex(grammar.source)
    else:
        made = library.LLMatcher.grammar_from_lark(grammar.source)
    return str(made)


def _unpack(octets: Tensor, width: int) -> Tensor:
    """[B, width] booleans from bytes [B, W], the lowest bit first; false behind the last."""
    shifts = torch.arange(8, dtype=torch.uint8, device=octets.device)
    flags = ((octets[..., None] >> shifts) & 1).bool().flatten(1)[:, :width]
    return functional.pad(flags, (0, width - flags.shape[1]))


def _short(message: str) -> str:
    """A message of the library as the rest of a sentence, without the state that it dumps."""
    plain = " ".join(message.partition("<state>")[0].split()).rstrip(".")
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…"
