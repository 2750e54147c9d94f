"""What needs no peer: generation against a forward without a cache, methods against the truth."""

from __future__ import annotations

import warnings

from benchmarks.bars import Bar
from selfsteer.steering.plan import SteeringWarning
from tests.steering.exactness import (
    cached_against_uncached,
    formula_differences,
    untouched_logits_that_change,
)
from tests.steering.extraction.populations import (
    NORMAL,
    SHIFT,
    SHIFT_OF_A_POPULATION,
    left_by_erasure,
    population,
    recovered,
)
from tests.steering.families import FAMILIES, family_student
from tests.steering.students import build_student

_LOGITS = 1e-4
_MOVED = 0.05  # logits; where a plan does less, that two forwards agree on it proves nothing
_FORMULA = 1e-5
_COSINE = 0.95
# Sampling errors: see tests/steering/extraction/test_population.py and test_leace.py.
_POPULATION = 0.997
_ERASED = 0.1
_SEEDS = range(5)


def measure_ours() -> list[Bar]:
    """Every family, every operator and every method."""
    return [*_families(), _operators(), *_methods()]


def _families() -> list[Bar]:
    """Four plans in one padded batch of different prompts, every step of every row."""
    bars, changed = [], {}
    for name in FAMILIES:
        student = family_student(name)
        found = cached_against_uncached(student)
        apart = found.apart if found.moved > _MOVED else float("inf")
        note = f"each plan moves logits by {found.moved:.2g}+"
        bars.append(Bar(f"{name}: cached = uncached", apart, _LOGITS, at_least=False, note=note))
        with warnings.catch_warnings(action="ignore", category=SteeringWarning):
            changed[name] = untouched_logits_that_change(student)
    worst = max(changed, key=lambda name: changed[name])
    note = f"{len(changed)} families" + (f", worst: {worst}" if changed[worst] else "")
    name = "strength 0, hooks removed: logits that change"
    return [*bars, Bar(name, changed[worst], 0, at_least=False, note=note)]


def _operators() -> Bar:
    apart = formula_differences(build_student())
    worst = max(apart, key=lambda name: apart[name])
    note = f"{len(apart)} operators in float64, worst: {worst}"
    return Bar("operators = their formulas", apart[worst], _FORMULA, at_least=False, note=note)


def _methods() -> list[Bar]:
    planted = {method: min(recovered(method, seed) for seed in _SEEDS) for method in SHIFT}
    drawn = population()
    normals = {method: drawn.cosine(method) for method in NORMAL}
    shifts = {method: drawn.cosine(method) for method in SHIFT_OF_A_POPULATION}
    return [
        _least("planted direction: cosine", planted, _COSINE, "noise 0.1, 64 pairs, 5 seeds"),
        _least("population: cosine with C^-1 shift", normals, _POPULATION, "anisotropic noise"),
        _least("population: cosine with the shift", shifts, _POPULATION, "anisotropic noise"),
        Bar(
            "population: class means after LEACE",
            left_by_erasure(),
            _ERASED,
            at_least=False,
            note="deviations apart, on fresh texts; 1 before",
        ),
    ]


def _least(name: str, found: dict[str, float], limit: float, note: str) -> Bar:
    worst = min(found, key=lambda method: found[method])
    return Bar(name, found[worst], limit, note=f"{note}; lowest of {len(found)}: {worst}")
