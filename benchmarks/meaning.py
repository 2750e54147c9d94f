"""How often the first plan that recall offers is the right one, by words alone and with an encoder.

`SELFSTEER_ENCODER=FOLDER python -m benchmarks.meaning` prints the table of decision 9. A memory
holds one plan for each value of Pocket's attributes; no model is steered, since an offer is right
when its plan was made for the value that is asked for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.paraphrases import OTHERS, PARAPHRASES, TURNED
from selfsteer.agents.nodes.recall import MIN_COVERAGE, MOST_HITS
from selfsteer.app.loading import named_encoder
from selfsteer.memory import Memory
from selfsteer.memory.encoder import Encoder
from selfsteer.memory.meaning import Meaning
from selfsteer.pocket.lexicon import FAMILIES
from selfsteer.pocket.wordings import instruction, synonyms, with_article

FINGERPRINT = "f" * 64
DRAWN = 3  # memories whose goals are put at random
LEAST = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
PAIRS = (
    ("cheerless", "sad"),
    ("cheerless", "gloomy"),
    ("cheerless", "cheerful"),
    ("not cheerful", "cheerful"),
)
_FORMS = {
    "topic": "I want it to talk about {n}",
    "language": "I want it to answer in {n}",
    "persona": "I want it to talk like a {n}",
}
_FORM = "I want it to sound {a}"


class Asked(NamedTuple):
    """A goal, and the value that would meet it; None where none does."""

    goal: str
    value: str | None


class Offer(NamedTuple):
    """What is offered for a goal: the value by words, and the values by meaning, with cosines."""

    value: str | None
    words: str | None
    meaning: list[tuple[float, str]]

    def first(self, least: float) -> str | None:
        """The value of the plan that is tried."""
        return self.words or next((v for cosine, v in self.meaning if cosine >= least), None)


def main() -> int:
    """Measure and print; returns the exit code."""
    encoder = named_encoder()
    if encoder is None:
        print("Name a sentence encoder in SELFSTEER_ENCODER.", file=sys.stderr)
        return 2
    encoder.load()
    asked = {
        "wordings": list(wordings()),
        "paraphrases": [Asked(g, v) for v, goals in PARAPHRASES.items() for g in goals],
        "others": [Asked(goal, None) for goal in OTHERS],
        "turned round": [Asked(goal, None) for goal in TURNED],
    }
    memories = {
        "goals in one form": [in_one_form()],
        f"{DRAWN} memories, goals as drawn": [drawn(seed) for seed in range(DRAWN)],
    }
    for title, goals in memories.items():
        print(f"\n{title}")
        print_table({name: ask(goals, some, kept(encoder)) for name, some in asked.items()})
    print()
    for one, other in PAIRS:
        first, second = (row / np.linalg.norm(row) for row in encoder([one, other]))
        print(f"{one} / {other}: {first @ second:.2f}")
    print(f"{milliseconds(encoder):.1f} ms for each goal that is encoded")
    return 0


def wordings() -> Iterator[Asked]:
    """Every synonym of every value, in a held-out sentence."""
    rng = Random(0)
    for family, values in FAMILIES.items():
        for value in values:
            left = dict.fromkeys(synonyms(family, value))
            while left:
                goal = instruction(rng, family, value, "held_out")
                said = [word for word in left if f" {word} " in f" {goal.replace(',', ' ')} "]
                if said:
                    del left[max(said, key=len)]
                    yield Asked(goal, value)


def in_one_form() -> dict[str, str]:
    """A goal for each value, by its first synonym."""
    return {
        value: with_article(_FORMS.get(family, _FORM), synonyms(family, value)[0])
        for family, values in FAMILIES.items()
        for value in values
    }


def drawn(seed: int) -> dict[str, str]:
    """A goal for each value, put in any of the ways of the corpus."""
    rng = Random(seed)
    return {
        value: instruction(rng, family, value)
        for family, values in FAMILIES.items()
        for value in values
    }


def ask(
    memories: Sequence[dict[str, str]], asked: Sequence[Asked], encoder: Encoder
) -> list[Offer]:
    """What each memory offers for each goal."""
    offers = []
    for goals in memories:
        with TemporaryDirectory() as folder, Memory.open(Path(folder) / "memory.db") as memory:
            values = dict(remembered(memory, goals))
            for goal, value in asked:
                words = by_words(memory, goal)
                alike = Meaning(encoder, -1).recall(memory, goal, FINGERPRINT, MOST_HITS)
                offers.append(
                    Offer(
                        value,
                        None if words is None else values[words],
                        [(hit.cosine, values[hit.remembered.id]) for hit in alike],
                    )
                )
    return offers


def remembered(memory: Memory, goals: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Put a plan for each goal into a memory; gives its id and the value that it stands for."""
    blob = memory.put_blob("vector", b"")
    for value, goal in goals.items():
        run = memory.runs.start(
            goal, student="", fingerprint=FINGERPRINT, controller="", seed=0, settings={}
        )
        put = memory.remember(run.id, blob, goal=goal, plan={}, scores={}, fingerprint=FINGERPRINT)
        yield put.id, value


def by_words(memory: Memory, goal: str) -> int | None:
    """The plan that the loop tries first."""
    hits = memory.recall(goal, FINGERPRINT, limit=MOST_HITS)
    able = [hit for hit in hits if hit.exact or hit.coverage >= MIN_COVERAGE]
    best = max(able, key=lambda hit: hit.coverage, default=None)
    return None if best is None else best.remembered.id


def print_table(offers: dict[str, list[Offer]]) -> None:
    """Shares of goals whose first offer is right, and of goals with any offer."""
    print("| | " + " | ".join(f"{name} ({len(some)})" for name, some in offers.items()) + " |")
    print("|---|" + "---|" * len(offers))
    for least in (float("inf"), *LEAST):
        name = "words alone" if least == float("inf") else f"from {least:.2f}"
        cells = [cell([(o.value, o.first(least)) for o in some]) for some in offers.values()]
        print(f"| {name} | " + " | ".join(cells) + " |")


def cell(pairs: Sequence[tuple[str | None, str | None]]) -> str:
    """Right of offered, in per cent of all goals."""
    offered = sum(first is not None for _, first in pairs)
    right = sum(first is not None and first == value for value, first in pairs)
    return f"{100 * right / len(pairs):.0f} of {100 * offered / len(pairs):.0f} %"


def kept(encoder: Encoder) -> Encoder:
    """The encoder, which reads each text once: the same goals are asked of many memories."""
    known: dict[str, NDArray[np.float32]] = {}

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, encoder(new), strict=True))
        return np.stack([known[text] for text in texts])

    return encode


def milliseconds(encoder: Encoder) -> float:
    """What a goal costs to encode, in a batch of all wordings."""
    goals = [goal for goal, _ in wordings()]
    encoder(goals)
    began = time.perf_counter()
    encoder(goals)
    return 1000 * (time.perf_counter() - began) / len(goals)


if __name__ == "__main__":
    sys.exit(main())
