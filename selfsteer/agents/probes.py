"""Probes: open prompts on which candidates are judged, dealt into disjoint splits."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from random import Random

from pydantic import BaseModel, ConfigDict

from selfsteer.steering.prompts import Prompt

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
