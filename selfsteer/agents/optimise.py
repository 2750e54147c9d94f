"""Choosing candidates: a coarse grid first, then Optuna's TPE, asked and told in batches.

The limits of a goal are constraints of the study (for TPE with constraints see Watanabe and Hutter,
"c-TPE", 2023; Optuna's differs from theirs).

The study is rebuilt from the results at every ask, so that nothing but plain numbers has to survive
an interruption.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)

from selfsteer.agents.policy import utility
from selfsteer.agents.sites import GOES_ON, coarse
from selfsteer.agents.types import CandidateResult, CandidateSpec, SearchSpace, Thresholds

GRID_STRENGTHS = 4
ABLATE_STRENGTH = 1.0
DOSES_BESIDE = (1 / 1.2, 1.0, 1.2)
DOSES_BETWEEN = (1 / 1.1, 1.1)


def first_batch(space: SearchSpace) -> list[CandidateSpec]:
    """A coarse grid: sites, layers and operators of the space, `add` at a few strengths.

    Where the trials do not suffice for every layer, layers spread evenly over the space get it. It
    goes from the middle of the layers and strengths outwards, sites by turns, so that a search cut
    short has seen what is likeliest to steer (middle layers: Rimsky et al., CAA, 2024).
    """
    doses = GRID_STRENGTHS if space.low < space.high else 1
    strengths = {
        operator: np.geomspace(space.low, space.high, doses).tolist()
        if operator == "add"
        else [ABLATE_STRENGTH]
        for operator in space.operators
    }
    sites = coarse(space.sites)
    affordable = max(1, space.trials // (len(sites) * sum(map(len, strengths.values()))))
    layers = sorted(_spread(space.layers, affordable))
    specs = [
        (_off_centre(layers, layer) + _off_centre(strengths[operator], strength), spec)
        for operator in space.operators
        for layer in layers
        for strength in strengths[operator]
        for site in sites
        for spec in [_spec(space, site, layer, operator, strength)]
    ]
    specs.sort(key=lambda row: row[0])
    return [spec for _, spec in specs[: space.trials]]


def _off_centre(values: Sequence[float], value: float) -> float:
    """How far a value stands from the middle of a sequence, from 0 to almost 1."""
    return abs(2 * values.index(value) - (len(values) - 1)) / len(values)


def new_ground(space: SearchSpace, earlier: Sequence[CandidateResult]) -> list[CandidateSpec]:
    """The points of the coarse grid where the same vectors have not been looked at yet.

    A site, layer and operator are known from the lowest to the highest strength that was tried.
    """
    tried: dict[tuple[str, int, str], list[float]] = {}
    for result in earlier:
        way = (result.site, result.layer, result.operator)
        tried.setdefault(way, []).append(result.strength)

    def known(spec: CandidateSpec) -> bool:
        strengths = tried.get((spec.site, spec.layer, spec.operator))
        return strengths is not None and min(strengths) <= spec.strength <= max(strengths)

    return [spec for spec in first_batch(space) if not known(spec)]


def within(space: SearchSpace, results: Sequence[CandidateResult]) -> list[CandidateResult]:
    """Those of the results that the space has room for."""

    def fits(result: CandidateResult) -> bool:
        if result.operator not in space.operators:
            return False
        low, high = _range(space, result.operator)
        place = result.site in space.sites and result.layer in space.layers
        return place and low <= result.strength <= high

    return [result for result in results if fits(result)]


def _spread(layers: Sequence[int], count: int) -> list[int]:
    """At most `count` of the layers, at even distances."""
    count = min(count, len(layers))
    return [layers[i * len(layers) // count] for i in range(count)]


def next_batch(
    space: SearchSpace,
    results: Sequence[CandidateResult],
    thresholds: Thresholds,
    *,
    count: int,
    seed: int,
) -> list[CandidateSpec]:
    """Candidates that TPE expects most of, given the results so far.

    A result that keeps within the limits of coherence, broken replies and retention comes before
    any that does not; among those that do, utility decides.

    Args:
        results: development results of this round, and of earlier ones with the same vectors, all
            of them within the space.
        count: how many to ask for at once.
        seed: of the sampler.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        seed=seed,
        n_startup_trials=1,
        constant_liar=True,
        multivariate=True,
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions: dict[str, BaseDistribution] = {
        "site": CategoricalDistribution(space.sites),
        "layer": CategoricalDistribution(space.layers),
        "operator": CategoricalDistribution(space.operators),
        "dose": FloatDistribution(0.0, 1.0),
    }
    for result in results:
        study.add_trial(
            optuna.trial.create_trial(
                params={
                    "site": result.site,
                    "layer": result.layer,
                    "operator": result.operator,
                    "dose": _dose(space, result),
                },
                distributions=distributions,
                value=utility(result, thresholds),
                constraints=constraints(result, thresholds),
            )
        )
    asked = (study.ask(distributions).params for _ in range(count))
    specs = (
        _spec(
            space,
            p["site"],
            p["layer"],
            p["operator"],
            _strength(space, p["operator"], p["dose"]),
        )
        for p in asked
    )
    seen = {result.spec() for result in results}
    return [spec for spec in dict.fromkeys(specs) if spec not in seen]


def constraints(result: CandidateResult, thresholds: Thresholds) -> dict[str, float]:
    """What a candidate may cost, as Optuna takes it: above 0 is past the limit.

    Retention is known of candidates that were good enough to be asked.
    """
    past = {
        "coherence": math.log(result.coherence / thresholds.coherence),
        "broken": result.broken - thresholds.broken,
    }
    if result.retention is not None:
        past["retention"] = thresholds.retention - result.retention
    return past


def going_on(space: SearchSpace, specs: Sequence[CandidateSpec]) -> list[CandidateSpec]:
    """The candidates, and behind each that stops early the same with a push that goes on."""
    return [
        spec.model_copy(update={"site": site})
        for spec in specs
        for site in (spec.site, GOES_ON.get(spec.site))
        if site in space.sites
    ]


def beside(
    space: SearchSpace, specs: Sequence[CandidateSpec], doses: Sequence[float] = DOSES_BESIDE
) -> list[CandidateSpec]:
    """Each candidate at multiples of its strength, as far as the space allows."""
    near = (
        _spec(space, spec.site, spec.layer, spec.operator, spec.strength * factor)
        for spec in specs
        for factor in doses
    )
    return list(dict.fromkeys(near))


def _spec(
    space: SearchSpace, site: str, layer: int, operator: str, strength: float
) -> CandidateSpec:
    """A candidate with a strength that people can read, within its operator's range."""
    low, high = _range(space, operator)
    readable = float(f"{strength:.3g}")
    return CandidateSpec(
        site=site, layer=layer, operator=operator, strength=min(max(readable, low), high)
    )


def _range(space: SearchSpace, operator: str) -> tuple[float, float]:
    if operator == "add":
        return space.low, space.high
    return min(space.low, ABLATE_STRENGTH), ABLATE_STRENGTH


def _strength(space: SearchSpace, operator: str, dose: float) -> float:
    """Strength at a relative dose: 0 is the lowest of the operator's range, 1 the highest.

    Operators differ in what strength means, so TPE is given the dose, on a logarithmic scale.
    """
    low, high = _range(space, operator)
    return low * math.exp(dose * math.log(high / low))


def _dose(space: SearchSpace, spec: CandidateSpec) -> float:
    """The inverse of `_strength`."""
    low, high = _range(space, spec.operator)
    if low == high:
        return 0.0
    return min(max(math.log(spec.strength / low) / math.log(high / low), 0.0), 1.0)
