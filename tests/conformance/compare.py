"""Ours against what the peers left in the world's folder, as bars."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.bars import Bar
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.formats.coefficients import coefficient_plan
from selfsteer.steering.formats.exchange import import_vector
from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.plan import Plan
from selfsteer.steering.vectors import SteeringVector
from tests.conformance.cases import MODIFIERS
from tests.conformance.world import COEFFICIENT, LAYERS, World

LIMIT = 1e-5
Results = dict[str, Tensor]


def compare_repeng(world: World) -> list[Bar]:
    """Reading: repeng reads the last layer after the final norm, so that one is shown apart."""
    theirs = load_file(world.folder / "repeng.safetensors")
    mean, pca = _vector(world, "mean_difference"), _vector(world, "pca")
    inner = range(LAYERS - 1)
    last = _distance([(mean.directions[LAYERS - 1], theirs[f"mean.{LAYERS - 1}"])])
    return [
        _same("repeng: unsteered logits", [(world.logits(Plan.none()), theirs["logits.plain"])]),
        _same(
            "repeng: mean difference",
            [(mean.directions[k], theirs[f"mean.{k}"]) for k in inner],
            f"layers 0 to {LAYERS - 2}; its last, post-norm, is off by {last:.1g}",
        ),
        _same(
            "repeng: pca_center = our pca, unit",
            [(pca.unit(k), theirs[f"pca_center.{k}"]) for k in inner],
            f"layers 0 to {LAYERS - 2}",
        ),
        *_applied(world, "repeng", theirs, world.folder / "repeng.gguf"),
        _same(
            "repeng: its GGUF, read by us",
            _directions(world, world.folder / "repeng.gguf", theirs, "pca_center"),
        ),
    ]


def compare_steering_vectors(world: World) -> list[Bar]:
    """Reading and applying; this library reads with hooks, so every layer is compared."""
    theirs = load_file(world.folder / "steering-vectors.safetensors")
    mean = _vector(world, "mean_difference")
    file = world.folder / "steering-vectors.pt"
    return [
        _same(
            "steering-vectors: unsteered logits",
            [(world.logits(Plan.none()), theirs["logits.plain"])],
        ),
        _same(
            "steering-vectors: mean difference",
            [(mean.directions[k], theirs[f"mean.{k}"]) for k in range(LAYERS)],
            "all layers",
        ),
        *_applied(world, "steering-vectors", theirs, file),
        _same("steering-vectors: its object, read by us", _directions(world, file, theirs, "mean")),
    ]


def compare_nnsight(world: World) -> list[Bar]:
    """Edits: a bar for each operator and modifier, and one for several on the same layers."""
    theirs = load_file(world.folder / "nnsight.safetensors")
    plain = world.logits(Plan.none())
    bars = [_same("nnsight: unsteered logits", [(plain, theirs["logits.plain"])])]
    groups = {
        f"nnsight: {kind}": [n for n in world.edits if n.startswith(f"{kind}, ")]
        for kind in (*OPERATORS, *MODIFIERS)
    }
    for name, cases in (groups | {"nnsight: all operators together": ["all together"]}).items():
        if not cases or any(case not in theirs for case in cases):
            bars.append(Bar(name, 0, 1, note="no strengths or no formula: see cases.py"))
            continue
        pairs = [(world.logits(world.edits[case]), theirs[case]) for case in cases]
        moved = min(_distance([(ours, plain)]) for ours, _ in pairs)
        note = f"{len(cases)} edits, each moves logits by {moved:.2g}+"
        bars.append(_same(name, pairs, note))
    return bars


def _applied(world: World, peer: str, theirs: Results, file: Path) -> list[Bar]:
    """Our vector in the peer's hands, and the peer's vector in ours."""
    ours = coefficient_plan(world.vector, COEFFICIENT)
    foreign = coefficient_plan(import_vector(file, world.student), COEFFICIENT)
    plain = world.logits(Plan.none())
    bars = []
    for name, plan, key in (
        (f"{peer}: our vector, applied by it", ours, "logits.ours"),
        (f"{peer}: its vector, applied by us", foreign, "logits.theirs"),
    ):
        logits = world.logits(plan)
        moved = _distance([(logits, plain)])
        bars.append(_same(name, [(logits, theirs[key])], f"moves logits by {moved:.2g}"))
    return bars


def _directions(
    world: World, file: Path, theirs: Results, key: str
) -> Iterable[tuple[Tensor, Tensor]]:
    """The peer's file as we read it, beside the numbers that it wrote."""
    found = import_vector(file, world.student)
    return [(found.directions[layer], theirs[f"{key}.{layer}"]) for layer in range(LAYERS)]


def _vector(world: World, method: str) -> SteeringVector:
    return extract_vector(
        world.student, world.dataset, method=method, selector="last", reduce="last"
    )


def _same(name: str, pairs: Iterable[tuple[Tensor, Tensor]], note: str = "") -> Bar:
    return Bar(name, _distance(pairs), LIMIT, at_least=False, note=note)


def _distance(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The largest absolute difference; NaN counts as infinite."""
    worst = 0.0
    for ours, theirs in pairs:
        difference = (ours.double() - theirs.double()).abs()
        worst = max(worst, float(torch.nan_to_num(difference, nan=torch.inf).max()))
    return worst
