"""Does Pocket do what a system prompt says, consistently and in well-formed sentences?"""

from __future__ import annotations

from statistics import fmean

from benchmarks.bars import Bar
from benchmarks.card.replies import DRAW, VALUES, named, prompts, replies
from selfsteer.pocket import oracle
from selfsteer.pocket.lexicon import FAMILIES
from selfsteer.steering.metrics.intervals import wilson
from selfsteer.steering.model import Student

SAMPLES = 100


def obedience(student: Student, draw: int = 0) -> list[Bar]:
    """Obedience per value, consistency and well-formedness over all of these replies."""
    rng = named("obedience", draw)
    rates: dict[str, float] = {}
    texts: list[str] = []
    for number, (family, value) in enumerate(VALUES):
        asked = {family: value}
        found = replies(student, prompts(rng, SAMPLES, asked), seed=number + DRAW * draw)
        rates[value] = fmean(oracle.expresses(text, **asked) for text in found)
        texts += found
    worst = min(rates, key=rates.__getitem__)
    parts = [sentence for text in texts for sentence in oracle.sentences(text)]
    return [
        Bar("obeys, worst value", rates[worst], 0.90, note=f"{worst}; {SAMPLES} replies a value"),
        Bar("obeys, mean of values", fmean(rates.values()), 0.95),
        Bar("consistent replies", fmean(map(oracle.consistent, texts)), 0.95),
        Bar(
            "well-formed sentences", fmean(map(oracle.parses, parts)), 0.95, note=f"n={len(parts)}"
        ),
        Bar("well-formed replies", fmean(map(oracle.well_formed, texts)), 0.90),
    ]


def prior(student: Student, draw: int = 0) -> Bar:
    """The commonest value of any family when nothing is asked."""
    count = 600
    texts = replies(student, prompts(named("prior", draw), count), seed=1 + DRAW * draw)
    shares = {
        f"{family} {value}": sum(oracle.expresses(text, **{family: value}) for text in texts)
        for family, values in FAMILIES.items()
        for value in values
    }
    top = max(shares, key=shares.__getitem__)
    low, high = wilson(shares[top], count)
    return Bar(
        "without instruction, commonest value",
        shares[top] / count,
        0.60,
        at_least=False,
        note=f"{top} [{low:.2f}, {high:.2f}]",
    )
