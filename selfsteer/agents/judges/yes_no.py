"""Judging by the probability of "yes" against "no", which a small model can do without JSON.

The student may say a few words before its verdict ("asked this, is that, so ..."): what it says
first is its likeliest continuation, and the two answers are weighed where it gives one of them. A
model that gives neither is weighed at once. An answer counts as far as what led to it was likely;
for the rest the matter is undecided. Taken alone, nearly all answers would be sure, and the doubts
about what the text is, which show before the answer, would be lost.

A reply that fits is read a second time with its sentences in the opposite order, and the worse of
the two readings counts: what a small model has read last weighs most with it, and one that sees few
tokens at a time has forgotten how a reply began. (Judges prefer by position: Wang et al., "Large
Language Models are not Fair Evaluators", 2023.)

What this leaves is too unsure of itself, so its log-odds are doubled, as those of two readings that
agree add up. (Sharpening by one factor on the log-odds: temperature scaling, Guo et al., "On
Calibration of Modern Neural Networks", 2017; docs/decisions/0014-as-sure-as-it-is-right.md.)

A reply counts as far as it is not a loop: an overdose of steering ends in loops of the word that it
pushes to, and a small model takes the word for the thing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch

from selfsteer.agents.student_text import on_one_line
from selfsteer.agents.types import Goal, Sample, Verdict
from selfsteer.errors import StudentError
from selfsteer.steering.generate import Generation, generate
from selfsteer.steering.metrics.coherence import looping
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt

QUESTION = "Text: {reply}\nRequest: {goal}\nDoes it fit?"
WITH_RUBRIC = "Text: {reply}\nRequest: {goal}\nHow to tell: {rubric}\nDoes it fit?"
LONGEST_RUBRIC = 1_500  # characters: it is read with every reply
REASON_TOKENS = 24
_ANSWER = re.compile(r"\b(?:yes|no)\b", re.IGNORECASE)
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")  # and CJK stops


class Answers(NamedTuple):
    """The tokens that "yes" and "no" begin with, in either case, after a space and without."""

    yes: tuple[int, ...]
    no: tuple[int, ...]


def yes_no_verdicts(
    student: Student, goal: Goal, samples: Sequence[Sample], *, by_rubric: bool = False
) -> list[Verdict]:
    """The probability that a reply fits, by P(yes) against P(no) of the unsteered student.

    A reading gives 1/2 + P(what is said before the answer) * (P(yes) / (P(yes) + P(no)) - 1/2), so
    it is on the side of the likelier answer; above a half, the lower one of two readings counts, of
    which the second has the sentences in the opposite order. The score is that with its log-odds
    doubled, times the share of the reply that is no loop (`steering.metrics.coherence.looping`), so
    that what is mostly one fits nothing. Identical replies are asked about once. An empty reply
    fits no request. An answer counts by its first token. A reply is asked about on one line, so
    that none can bring a request or a question of its own.

    Args:
        student: the model that judges; its hooks are off.
        goal: what was asked for.
        samples: the replies.
        by_rubric: tell the student the goal's rubric too, where there is one.

    Raises:
        StudentError: the student's tokenizer begins both answers with the same token.
    """
    if not by_rubric:
        goal = goal.model_copy(update={"rubric": ""})
    replies = sorted({sample.reply for sample in samples if sample.reply.strip()})
    scores = _scores(student, goal, replies)
    again = {reply: turned(reply) for reply in replies if scores[reply] > 0.5}
    second = _scores(student, goal, {text for reply, text in again.items() if text != reply})
    for reply, text in again.items():
        scores[reply] = min(scores[reply], second.get(text, 1.0))
    for reply, ids in zip(replies, _token_ids(student, replies), strict=True):
        scores[reply] = doubled(scores[reply]) * (1 - looping(ids))
    return [Verdict(score=scores.get(sample.reply, 0.0)) for sample in samples]


def doubled(probability: float) -> float:
    """The probability whose log-odds are twice those of this one."""
    fits, not_so = probability**2, (1 - probability) ** 2
    return fits / (fits + not_so)


def turned(text: str) -> str:
    """The sentences of a text in the opposite order; a text of one sentence as it is."""
    sentences = [part for part in _BETWEEN_SENTENCES.split(text.strip()) if part]
    return " ".join(reversed(sentences)) if len(sentences) > 1 else text


def _token_ids(student: Student, replies: Sequence[str]) -> list[list[int]]:
    if not replies:
        return []  # some tokenizers fail on no texts
    found: list[list[int]] = student.tokenizer(list(replies), add_special_tokens=False)["input_ids"]
    return found


def _scores(student: Student, goal: Goal, texts: Collection[str]) -> dict[str, float]:
    """Each text's score from one reading."""
    replies = sorted(texts)
    prompts = [Prompt.chat(question(student, goal, reply)) for reply in replies]
    answers = answer_tokens(student)
    reasoned = generate(
        student,
        prompts,
        max_new_tokens=REASON_TOKENS,
        temperature=0,
        watch=answers.yes + answers.no,
    )
    return {
        reply: _weigh(said, place_of_answer(student, said), len(answers.yes))
        for reply, said in zip(replies, reasoned, strict=True)
    }


def question(student: Student, goal: Goal, reply: str) -> str:
    """What the student is asked about a reply, by the goal's rubric where it has one."""
    rubric = on_one_line(student, goal.rubric)[:LONGEST_RUBRIC].strip()
    form = WITH_RUBRIC if rubric else QUESTION
    return form.format(reply=on_one_line(student, reply), goal=goal.text, rubric=rubric)


def answer_tokens(student: Student) -> Answers:
    """The first tokens of the two answers; one that both begin with (a bare space) is left out.

    Raises:
        StudentError: nothing is left of one of them.
    """

    def first(word: str) -> set[int]:
        spellings = (f"{space}{form}" for space in ("", " ") for form in (word, word.title()))
        encoded = (student.tokenizer.encode(s, add_special_tokens=False) for s in spellings)
        return {ids[0] for ids in encoded if ids}

    yes, no = first("yes"), first("no")
    if not yes - no or not no - yes:
        raise StudentError(
            f"The tokenizer of {student.name} begins 'yes' and 'no' with the same token, so it "
            "cannot judge by the first token of its answer; let another controller judge."
        )
    return Answers(tuple(sorted(yes - no)), tuple(sorted(no - yes)))


def place_of_answer(student: Student, said: Generation) -> int:
    """The token in which the first "yes" or "no" begins; 0 where neither is said."""
    answer = _ANSWER.search(said.text)
    if answer is None:
        return 0
    lengths = (
        len(student.tokenizer.decode(said.ids[: end + 1], skip_special_tokens=True))
        for end in range(len(said.ids))
    )
    return next(place for place, length in enumerate(lengths) if length > answer.start())


def _weigh(said: Generation, place: int, yes: int) -> float:
    """P(yes) against P(no) at a place, drawn towards a half where the way there was unlikely.

    The first `yes` of the watched log-probabilities are those of yes.
    """
    both = torch.tensor(said.watched[place], dtype=torch.float64)
    answer = float(torch.sigmoid(both[:yes].logsumexp(0) - both[yes:].logsumexp(0)))
    return 0.5 + math.exp(math.fsum(said.logprobs[:place])) * (answer - 0.5)
