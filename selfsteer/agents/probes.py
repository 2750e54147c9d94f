"""Probes: open prompts on which candidates are judged, dealt into disjoint splits."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from functools import cache
from importlib.resources import files
from itertools import islice
from random import Random

from pydantic import BaseModel, ConfigDict

from selfsteer.agents.types import Question
from selfsteer.steering.prompts import Prompt

LEAST = 12  # questions of a split, below which bundled ones are added
SPLITS = ("extraction", "development", "confirmation", "report")  # and recall, beside them


class ProbeSplits(BaseModel):
    """Five lists of prompts without a prompt in common.

    Attributes:
        extraction: the student answers these to make contrastive data.
        development: choose among candidates.
        recall: confirm a vector from memory, so that a failure leaves `confirmation` unseen.
        confirmation: accept or refuse, with one look a run.
        report: opened only after the verdict is stored.
    """

    model_config = ConfigDict(frozen=True)

    extraction: tuple[Prompt, ...]
    development: tuple[Prompt, ...]
    recall: tuple[Prompt, ...]
    confirmation: tuple[Prompt, ...]
    report: tuple[Prompt, ...]


@cache
def open_prompts() -> tuple[str, ...]:
    """The bundled prompts: short, about nothing in particular, answerable by any chat model."""
    text = files("selfsteer.agents").joinpath("probes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def deal_probes(seed: int) -> ProbeSplits:
    """The bundled prompts dealt evenly into the splits: `recall` always the same, the rest by seed.

    A vector may be recalled by a run of another seed, and no earlier run may have seen its probes.
    """
    prompts = [Prompt.chat(text) for text in open_prompts()]
    Random("probes-recall").shuffle(prompts)
    share = len(prompts) // (len(SPLITS) + 1)
    recall, rest = prompts[:share], prompts[share:]
    Random(f"probes-{seed}").shuffle(rest)
    dealt = {name: tuple(rest[index :: len(SPLITS)]) for index, name in enumerate(SPLITS)}
    return ProbeSplits(recall=tuple(recall), **dealt)


def deal_questions(questions: Sequence[Question], seed: int) -> ProbeSplits:
    """A controller's questions dealt into the splits; `recall` stays with the bundled prompts.

    Questions that differ only in case, spaces or punctuation are taken once. Every split has about
    as many of each topic, and of each length within a topic: neighbours in length go to different
    splits. Within a split they stand in random order, so that its first few are no first topics.
    Where there are fewer than `LEAST` a split, bundled prompts join them, behind the others.
    """
    bundled = deal_probes(seed)
    known = {plain(prompt.messages[-1].content) for prompt in bundled.recall}
    distinct: dict[str, Question] = {}
    for question in questions:
        words = plain(question.text)
        if words and words not in known:
            distinct.setdefault(words, question)
    ordered = sorted(distinct.values(), key=lambda q: (q.topic.casefold(), len(q.text), q.text))
    rng = Random(f"questions-{seed}")
    dealt: dict[str, list[str]] = {name: [] for name in SPLITS}
    for start in range(0, len(ordered), len(SPLITS)):
        for name, question in zip(
            rng.sample(SPLITS, len(SPLITS)), ordered[start : start + len(SPLITS)], strict=False
        ):
            dealt[name].append(question.text)
    for texts in dealt.values():
        rng.shuffle(texts)
    return bundled.model_copy(
        update={name: _topped_up(dealt[name], getattr(bundled, name), distinct) for name in SPLITS}
    )


def _topped_up(
    texts: Sequence[str], spare: Sequence[Prompt], taken: Container[str]
) -> tuple[Prompt, ...]:
    """The texts as prompts, and bundled ones up to `LEAST`."""
    free = (prompt for prompt in spare if plain(prompt.messages[-1].content) not in taken)
    more = islice(free, max(0, LEAST - len(texts)))
    return (*map(Prompt.chat, texts), *more)


def plain(text: str) -> str:
    """The words alone, to see that two questions are one."""
    return " ".join(re.findall(r"\w+", text.casefold()))
