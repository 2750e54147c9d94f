"""Sites: where a contrast is read and where its vector acts.

A property that every token of a reply carries is read off the replies and added everywhere, or
everywhere until the reply is under way. A choice that is made once, when the reply begins, is read
where it is made and added there; one that is made somewhere in the first sentence is pushed for as
long as that. The rest of the reply then follows by itself, untouched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from selfsteer.steering.datasets import ContrastiveDataset


class Site(NamedTuple):
    """Selectors of one site.

    Attributes:
        read: which tokens directions are extracted from.
        steer: which tokens they are applied to.
    """

    read: str
    steer: str


SITES: dict[str, Site] = {
    "reply": Site(read="response", steer="all"),
    "lead": Site(read="response", steer="prompt + response[0:16]"),
    "opening": Site(read="response", steer="last + response[0:16]"),
    "start": Site(read="last", steer="last"),
    "text": Site(read="all", steer="all"),
}
# A site whose push stops early, and the one that is like it and goes on.
GOES_ON = {"lead": "reply"}


def coarse(sites: Sequence[str]) -> tuple[str, ...]:
    """The sites of a coarse grid: a push that goes on steers about as far as one that stops early
    and breaks more, so it waits until that has shown where to look."""
    later = {GOES_ON.get(site) for site in sites}
    return tuple(site for site in sites if site not in later)


def sites_of(dataset: ContrastiveDataset) -> tuple[str, ...]:
    """The sites that a dataset can be read at: replies, and their start, or bare texts.

    Where both sides answer the same prompts, nothing differs yet when a reply starts.
    """
    if not all(e.completion for e in (*dataset.positives, *dataset.negatives)):
        return ("text",)
    positive, negative = (
        Counter(example.prompt for example in side)
        for side in (dataset.positives, dataset.negatives)
    )
    of_replies = ("reply", "lead", "opening")
    return of_replies if positive == negative else (*of_replies, "start")
