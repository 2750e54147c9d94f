"""Is a reply still language? Perplexity under the unsteered student, slips, and repetition.

Perplexity is that of the replies under the *unsteered* student given the *instructed* prompt: with
the goal as the system message a reply that does what was asked is likely, so that success is not
punished. It is compared with that of the replies that the instruction alone brings about.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

from selfsteer.errors import StudentError
from selfsteer.steering.encoding import Encoded, encode_all
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs

# The natural logarithm of a probability below which the student as good as never says a token. On
# the bundled student the share of replies without one follows the oracle's share of well-formed
# replies (docs/decisions/0005-slips.md).
SLIP = -10.0


class LogLikelihood(NamedTuple):
    """The total log-probability (natural log) of some tokens, their number, and the lowest one."""

    total: float
    tokens: int
    lowest: float = 0.0


def log_likelihoods(
    student: Student, prompts: Sequence[Prompt], replies: Sequence[str]
) -> list[LogLikelihood]:
    """For each reply, its log-likelihood under the unsteered student after its prompt.

    A reply of nothing but white space counts as one without tokens. One that the student's context
    has no room for behind this prompt counts as far as there is room.

    Raises:
        StudentError: a prompt that fills the context by itself.
    """
    spoken = [i for i, reply in enumerate(replies) if reply.strip()]
    examples = [Example(prompt=prompts[i], completion=replies[i]) for i in spoken]
    rows = [_in_context(student, row) for row in encode_all(student, examples)]
    result = [LogLikelihood(0.0, 0)] * len(replies)
    for i, logprobs in zip(spoken, completion_logprobs(student, rows), strict=True):
        total, lowest = float(logprobs.double().sum()), float(logprobs.min())
        result[i] = LogLikelihood(total, len(logprobs), lowest)
    return result


def _in_context(student: Student, row: Encoded) -> Encoded:
    if student.context_length is None or row.prompt_length >= student.context_length:
        return row  # what is too long without the reply is not for us to shorten
    stop = student.context_length
    return replace(row, ids=row.ids[:stop], roles=row.roles[:stop], special=row.special[:stop])


def ratio_of_perplexities(
    student: Student, replies: Sequence[LogLikelihood], reference: Sequence[LogLikelihood]
) -> float:
    """The perplexity of one set of replies over that of another.

    A perplexity is the geometric mean over all tokens of a set of one over their probability. A
    set without any token gets that of blind guessing, the size of the vocabulary: silence is not
    coherent, and the figure stays finite.

    Raises:
        StudentError: the reference has no tokens, so that there is nothing to compare with.
    """
    if not any(likelihood.tokens for likelihood in reference):
        raise StudentError(
            f"Student {student.name} says nothing when it is instructed, so the coherence of its "
            "steered replies cannot be measured; use prompts that it answers."
        )
    chance = math.log(len(student.tokenizer))
    return math.exp(_nats_per_token(replies, chance) - _nats_per_token(reference, chance))


def broken(replies: Sequence[LogLikelihood], reference: Sequence[LogLikelihood]) -> float:
    """The share of replies that are broken, less that share among the reference replies, 0 to 1.

    A reply is broken where it is empty or holds a slip: a token that the student, unsteered and
    instructed, gives a probability below e to the power `SLIP`. Perplexity is an average over many
    tokens and hardly sees one wrong word; a reader does.
    """

    def share(those: Sequence[LogLikelihood]) -> float:
        return sum(one.tokens == 0 or one.lowest < SLIP for one in those) / len(those)

    return max(0.0, share(replies) - share(reference))


def perplexity_ratio(
    student: Student,
    prompts_with_instruction: Sequence[Prompt],
    replies: Sequence[str],
    reference_replies: Sequence[str],
) -> float:
    """The perplexity of ``replies`` over that of ``reference_replies``, to the same prompts.

    Args:
        prompts_with_instruction: the prompt of each reply, with the goal as its system message.
        replies: replies of the steered student, hooks off since.
        reference_replies: replies that the instruction alone brought about, one for each prompt.

    Raises:
        StudentError: the reference replies are all empty.
    """
    both = log_likelihoods(student, [*prompts_with_instruction] * 2, [*replies, *reference_replies])
    return ratio_of_perplexities(student, both[: len(replies)], both[len(replies) :])


def distinct(tokens: Sequence[Hashable], n: int) -> float:
    """The share of a reply's n-grams that are different; 1 where there is none.

    Source: Li et al., "A diversity-promoting objective function for neural conversation models"
    (2016).
    """
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0


def looping(tokens: Sequence[Hashable]) -> float:
    """The share of a reply's tokens at which it has just said the same twice in a row, 0 to 1.

    That is, at which the last p tokens equal the p before them, for some p. Two of the three tokens
    of "no no no" are such, and of a phrase said twice in a row only the last; a reply that goes
    round for ever comes near 1. What comes again after something else, as in verse, is no loop.

    Source: squares in words (Thue, "Über unendliche Zeichenreihen", 1906).
    """
    places: set[int] = set()
    for period in range(1, len(tokens) // 2 + 1):
        same = 0  # tokens in a row that are those of a period before
        for at in range(period, len(tokens)):
            same = same + 1 if tokens[at] == tokens[at - period] else 0
            if same >= period:
                places.add(at)
    return len(places) / len(tokens) if tokens else 0.0


def longest_repeat(tokens: Sequence[Hashable]) -> float:
    """The share of a reply that its longest repeated n-gram covers with two of its occurrences.

    Only occurrences that do not overlap count, so that a loop scores about 1 and a reply that says
    nothing twice scores 0.
    """
    # If some n-gram is repeated then so is every part of it: the longest can be bisected.
    shortest_absent, longest_present = len(tokens) // 2 + 1, 0
    while shortest_absent - longest_present > 1:
        middle = (shortest_absent + longest_present) // 2
        if _repeats(tokens, middle):
            longest_present = middle
        else:
            shortest_absent = middle
    return 2 * longest_present / len(tokens) if tokens else 0.0


def _repeats(tokens: Sequence[Hashable], n: int) -> bool:
    """Whether some n-gram occurs twice without overlap."""
    first: dict[tuple[Hashable, ...], int] = {}
    return any(
        i - first.setdefault(tuple(tokens[i : i + n]), i) >= n for i in range(len(tokens) - n + 1)
    )


def _nats_per_token(likelihoods: Sequence[LogLikelihood], chance: float) -> float:
    tokens = sum(likelihood.tokens for likelihood in likelihoods)
    if tokens == 0:
        return chance
    return -sum(likelihood.total for likelihood in likelihoods) / tokens
