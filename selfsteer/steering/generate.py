"""Steered generation: many prompts with different plans side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from selfsteer.errors import PlanError, StudentError
from selfsteer.steering.batching import buckets
from selfsteer.steering.blocks import text_config
from selfsteer.steering.constraint import Constraint
from selfsteer.steering.decoding import Reply, Settings, decode_batch
from selfsteer.steering.editing.hooks import steering
from selfsteer.steering.editing.idle import warn_of_idle_edits
from selfsteer.steering.encoding import Encoded, closing_ids, encode_all
from selfsteer.steering.grammar import Grammar
from selfsteer.steering.model import Student
from selfsteer.steering.overflow import out_of_range
from selfsteer.steering.plan import Plan, one_per_row
from selfsteer.steering.products import fast_products
from selfsteer.steering.prompts import Prompt

Overflow = Literal["refuse", "end"]

_MAX_ROWS = 640
# Tokens held in the cache at once, pads included: the larger of a number and what memory holds
# (bytes, if every head has keys of its own). Small students are fast with many rows only.
_CACHE_TOKENS, _CACHE_BYTES = 32_768, 2**29


@dataclass(frozen=True)
class Generation:
    """A reply.

    Attributes:
        text: the reply without special tokens.
        ids: its tokens, without the one that ended it.
        finished: whether the student or its grammar ended it, rather than a limit on its length, or
            activations that grew out of range.
        watched: for each token, and the one that ended the reply, the log-probabilities of the
            watched tokens in its place.
        logprobs: for each of the same places the log-probability of the token itself; empty where
            no tokens are watched.
    """

    text: str
    ids: list[int]
    finished: bool
    watched: list[list[float]] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


def generate(
    student: Student,
    prompts: Sequence[Prompt],
    plans: Plan | Sequence[Plan] | None = None,
    *,
    max_new_tokens: int = 96,
    temperature: float = 1.0,
    seed: int = 0,
    watch: Sequence[int] = (),
    grammar: Grammar | None = None,
    overflow: Overflow = "refuse",
    batch_tokens: int | None = None,
) -> list[Generation]:
    """One reply for each prompt, in order.

    Row i follows plan i (or the one plan given for all) and draws from a random stream of its
    own that `seed` and i fix. Prompts are taken in batches of similar length; one that occurs
    several times is read once. A reply also ends where the student's context does.

    Args:
        temperature: 0 takes the likeliest token each time.
        watch: token ids whose log-probabilities (natural, at temperature 1, without a grammar) are
            kept at every step, and with them that of the token which is said.
        grammar: what every reply must match. A reply ends where nothing more is allowed; one that
            a limit cut (`finished` is false) is the beginning of a match.
        overflow: what becomes of a steered row whose activations grow beyond their type, so that
            its logits are not finite: `refuse` raises, `end` ends its reply there, for searches to
            which that is one bad candidate among many. A row without edits always raises.
        batch_tokens: tokens held in the cache at once: prompts, replies and pads together; None for
            32,768, or more for a student of which 512 MiB hold more.

    Raises:
        GrammarError: a grammar that cannot be read, or its package is not installed.
        PlanError: a plan that does not fit, a wrong number of plans, a limit, temperature or
            `overflow` that makes no sense, a watched token that the student has not, a strength
            beyond what activations can hold.
        SelectorError: a plan whose selector counts from the end of a reply.
        StudentError: a prompt that fills the student's context, a student that keeps its state
            outside the cache, a tokenizer that cannot be held to a grammar, logits that are not
            finite without any edit.
        VectorError: a vector of another student.

    Warns:
        SteeringWarning: an edit changes nothing, in all rows of its plan or in some, and why.
    """
    check_settings(max_new_tokens, temperature)
    _check_choices(student, watch, overflow)
    rows = encode_all(student, prompts)
    chosen = one_per_row(plans, len(rows))
    limits = np.array([room(student, row, max_new_tokens) for row in rows], dtype=np.int64)
    ends = end_ids(student)
    constraint = None if grammar is None else Constraint(student, grammar, ends)
    settings = Settings(temperature, seed, ends, tuple(watch), constraint)
    # Equal prompts side by side, so that they fall into one batch.
    order = np.array(sorted(range(len(rows)), key=lambda i: (len(rows[i].ids), rows[i].ids)), int)
    sizes = [len(rows[i].ids) + max_new_tokens for i in order]
    apart = [companions(student, rows[i], limits[i]) for i in order]
    replies: dict[int, Reply] = {}
    with steering(student, chosen, rows, max_new_tokens) as edits, fast_products(student):
        warn_of_idle_edits(edits)
        held = batch_tokens or _held(student)
        recurrent = student.recurrent
        for batch in buckets(sizes, held, _MAX_ROWS, one_length=recurrent, apart=apart):
            numbers = order[batch]
            found = decode_batch(student, rows, numbers, limits[numbers], edits, settings)
            replies.update(zip(numbers.tolist(), found, strict=True))
            for number, reply in zip(numbers.tolist(), found, strict=True):
                if reply.broken and (overflow == "refuse" or not chosen[number].active):
                    raise out_of_range(student, number, chosen[number])
    return [_generation(student, row, replies[i]) for i, row in enumerate(rows)]


def companions(student: Student, row: Encoded, limit: int) -> tuple[int, int]:
    """What rows must agree in to be generated in one batch.

    Those that end early with the context have batches of their own: padded to the longest prompt,
    the longest reply would go beyond what some families number. So have those whose rotary factors
    change on the way.
    """
    return int(limit), student.rotation(len(row.ids), int(limit))


def _held(student: Student) -> int:
    """Tokens to hold in the cache at once."""
    each = 2 * student.n_layers * student.d_model * student.model.dtype.itemsize
    return max(_CACHE_TOKENS, _CACHE_BYTES // each)


def end_ids(student: Student) -> frozenset[int]:
    """Tokens that end a reply: those of the generation config, end of text, the turn's end."""
    configured = student.model.generation_config.eos_token_id
    several = configured if isinstance(configured, list) else [configured]
    closing = closing_ids(student)
    # A turn end that is written with several ordinary tokens cannot be told from text.
    turn = closing if len(closing) == 1 and closing[0] in student.special_ids else []
    return frozenset(i for i in (*several, student.tokenizer.eos_token_id, *turn) if i is not None)


def reply_text(student: Student, row: Encoded, ids: list[int]) -> str:
    """A reply as it reads behind its prompt, without special tokens.

    Tokenizers that mark word starts drop the space before a text's first word, so the prompt's
    last token is decoded with the reply: prompt and reply joined are the text that was written.
    """
    before, decode = row.ids[-1:], student.tokenizer.decode
    head = str(decode(before, skip_special_tokens=True))
    text = str(decode(before + ids, skip_special_tokens=True))
    if text.startswith(head):
        return text[len(head) :]
    return str(decode(ids, skip_special_tokens=True))


def _generation(student: Student, row: Encoded, reply: Reply) -> Generation:
    text = reply_text(student, row, reply.ids)
    return Generation(text, reply.ids, reply.finished, reply.watched, reply.logprobs)


def check_settings(max_new_tokens: int, temperature: float) -> None:
    """Refuse limits and temperatures that make no sense.

    Raises:
        PlanError: no tokens, or a temperature that is negative or not finite.
    """
    if max_new_tokens < 1:
        raise PlanError(f"max_new_tokens is {max_new_tokens}; it must be 1 or more.")
    if not math.isfinite(temperature) or temperature < 0:
        raise PlanError(f"The temperature is {temperature}; it must be 0 or a positive number.")


def _check_choices(student: Student, watch: Sequence[int], overflow: str) -> None:
    if overflow not in get_args(Overflow):
        raise PlanError(f"Unknown overflow {overflow!r}; it is refuse or end.")
    size = int(text_config(student.model).vocab_size)
    for token in watch:
        if not 0 <= token < size:
            raise PlanError(
                f"Token {token} cannot be watched: {student.name} has none such; its ids are 0 to "
                f"{size - 1}."
            )


def room(student: Student, row: Encoded, max_new_tokens: int) -> int:
    """How many tokens the reply may have before the context is full.

    Raises:
        StudentError: none, because the prompt fills it.
    """
    if student.context_length is None:
        return max_new_tokens
    room = student.context_length - len(row.ids)
    if room < 1:
        raise StudentError(
            f"A prompt has {len(row.ids)} tokens, but {student.name} reads {student.context_length}"
            " and needs room to reply; shorten it."
        )
    return min(room, max_new_tokens)
