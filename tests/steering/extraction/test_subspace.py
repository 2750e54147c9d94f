"""Subspaces: principal directions of differences, what class means span, and their provenance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from selfsteer.errors import DatasetError, PlanError, VectorError
from selfsteer.steering.capture import capture
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.editing.hooks import steering
from selfsteer.steering.encoding import encode
from selfsteer.steering.extraction.activations import ContrastiveActivations, capture_pairs
from selfsteer.steering.extraction.extract_subspace import (
    extract_class_subspace,
    extract_subspace,
)
from selfsteer.steering.extraction.pca import pca
from selfsteer.steering.extraction.subspace import (
    Subspace,
    class_mean_subspace,
    difference_subspace,
    subspace_ablation,
)
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from tests.steering.students import build_student

REPLIES = [("so glad", "so sad"), ("wonderful", "dire"), ("good day", "bad day"), ("yes", "no")]
PROMPT = Prompt.chat("How are you?")
DATASET = ContrastiveDataset(
    concept="glad",
    pairs=tuple(
        ContrastivePair(
            positive=Example(prompt=PROMPT, completion=glad),
            negative=Example(prompt=PROMPT, completion=sad),
        )
        for glad, sad in REPLIES
    ),
)


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosines of the principal angles between two subspaces ``[k, D]``; all 1 if the same."""
    return torch.linalg.svdvals(first.double() @ second.double().T)


def assert_orthonormal(bases: Tensor) -> None:
    eye = torch.eye(bases.shape[1], dtype=bases.dtype).expand(len(bases), -1, -1)
    torch.testing.assert_close(bases @ bases.mT, eye, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("pairs", "width"), [(8, 32), (32, 8)], ids=["wide", "tall"])
def test_differences_give_their_first_singular_vectors(
    pairs: int, width: int, planted: Callable[..., Any]
) -> None:
    activations, _ = planted(noise=1.0, pairs=pairs, width=width)
    bases = difference_subspace(activations, 3)
    assert_orthonormal(bases)
    vectors = torch.linalg.svd(activations.differences(), full_matrices=False).Vh[:, :3]
    torch.testing.assert_close((bases * vectors).sum(dim=-1).abs(), torch.ones(2, 3).double())
    along = torch.einsum("lkd,ld->lk", bases, activations.differences().mean(dim=1))
    assert (along > 0).all()
    assert cosine_similarity(bases[:, 0], pca(activations), dim=-1).min() > 1 - 1e-9


@pytest.mark.parametrize("width", [6, 200])
def test_two_planted_directions_are_spanned(width: int) -> None:
    """Half of the pairs shift one way, half another: one mean, two directions."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.linalg.qr(torch.randn(width, 2, generator=generator)).Q.T
    noise = 0.02 * torch.randn(1, 40, width, generator=generator)
    positive = plane[torch.arange(40) % 2][None] + noise
    activations = ContrastiveActivations((0,), positive, torch.zeros(1, 40, width), torch.ones(1))
    assert cosines(difference_subspace(activations, 2)[0], plane).min() > 0.99


def test_a_layer_of_fewer_dimensions_still_gets_a_basis() -> None:
    positive = torch.zeros(2, 3, 5)
    positive[0, :, 0] = torch.tensor([1.0, 2.0, 3.0])
    positive[1] = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    bases = difference_subspace(
        ContrastiveActivations((0, 1), positive, torch.zeros(2, 3, 5), torch.ones(2)), 3
    )
    assert_orthonormal(bases)
    torch.testing.assert_close(bases[0, 0], torch.eye(5).double()[0])


@pytest.mark.parametrize("width", [5, 50])
def test_class_means_are_spanned_whatever_their_sizes(width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(1, 4, width, generator=generator)
    labels = [7, 7, 7, 7, 7, 2, 2, 4, -1]
    place = {-1: 0, 2: 1, 4: 2, 7: 3}
    values = means[:, [place[label] for label in labels]]
    bases = class_mean_subspace(values, labels)
    assert bases.shape == (1, 3, width)
    assert_orthonormal(bases)
    differences = (means[0, 1:] - means[0, :1]).double()
    left = differences - differences @ bases[0].T @ bases[0]
    assert left.abs().max() < 1e-6
    # The first directions are those in which the means, unweighted, differ most
    centred = means[0].double() - means[0].double().mean(dim=0)
    first = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    assert cosines(class_mean_subspace(values, labels, 2)[0], first).min() > 1 - 1e-9


def test_two_classes_give_the_mean_difference(planted: Callable[..., Any]) -> None:
    activations, _ = planted()
    values = torch.cat([activations.positive, activations.negative], dim=1)
    basis = class_mean_subspace(values, [1] * 64 + [0] * 64)[:, 0]
    shift = activations.differences().mean(dim=1)
    assert cosine_similarity(basis, shift, dim=-1).abs().min() > 1 - 1e-9


def test_bad_requests(planted: Callable[..., Any]) -> None:
    activations, _ = planted(pairs=4, width=8)
    for k in (0, 5):
        with pytest.raises(DatasetError, match=f"needs 1 to 4 dimensions .*, not {k}"):
            difference_subspace(activations, k)
    values = activations.positive
    with pytest.raises(DatasetError, match="3 labels for activations of shape"):
        class_mean_subspace(values, [0, 1, 1])
    with pytest.raises(DatasetError, match="of one class"):
        class_mean_subspace(values, [1, 1, 1, 1])
    with pytest.raises(DatasetError, match="NaN"):
        class_mean_subspace(values * float("nan"), [0, 1, 0, 1])
    with pytest.raises(DatasetError, match="1 to 1 dimensions"):
        class_mean_subspace(values, [0, 1, 0, 1], 2)
    same = values.clone()
    same[1] = 1.0
    with pytest.raises(DatasetError, match="fewer than 1 directions at layer number 1"):
        class_mean_subspace(same, [0, 1, 0, 1])


def test_a_subspace_of_a_student_carries_its_provenance(llama: Student) -> None:
    subspace = extract_subspace(llama, DATASET, 2, layers=[-1, 1])
    assert (subspace.layers, subspace.k, subspace.d_model) == ((-1, 1), 2, llama.d_model)
    assert subspace.dataset_id == DATASET.id
    assert subspace.student_fingerprint == llama.fingerprint
    activations = capture_pairs(llama, DATASET, layers=[-1, 1])
    expected = difference_subspace(activations, 2)[1].float()
    torch.testing.assert_close(subspace.bases[1], expected)
    shared = extract_subspace(llama, DATASET, 2, activations=activations)
    assert shared == subspace
    assert len({subspace, shared, extract_subspace(llama, DATASET, 1, layers=[-1, 1])}) == 2


def test_a_subspace_of_levels(llama: Student) -> None:
    words = ["dog", "cat", "chien", "chat", "Hund", "Katze"]
    levels = ["en", "en", "fr", "fr", "de", "de"]
    examples = [Example(prompt=PROMPT, completion=word) for word in words]
    subspace = extract_class_subspace(llama, examples, levels, "tongue", layers=[2])
    assert subspace.k == 2
    assert subspace.notes["levels"] == ["de", "en", "fr"]
    values = capture(llama, examples, [2]).values[0]
    between = values[:2].mean(dim=0) - values[2:4].mean(dim=0)
    torch.testing.assert_close(subspace.project(2, between), between, atol=1e-4, rtol=1e-4)
    with pytest.raises(DatasetError, match="6 examples and 5 levels"):
        extract_class_subspace(llama, examples, levels[:5], "tongue")


GOOD = torch.eye(4)[:2]


@pytest.mark.parametrize(
    ("bases", "message"),
    [
        ({}, "at one layer or more"),
        ({-2: GOOD}, "no layer -2"),
        ({0: GOOD, 1: GOOD[:1]}, r"layer 1 has shape \[1, 4\]"),
        ({0: GOOD[0]}, "shape"),
        ({0: GOOD * 1.01}, "not orthonormal"),
        ({0: GOOD[[0, 0]]}, "not orthonormal"),
        ({0: torch.ones(3, 2)}, "3 rows of width 2, of which not all"),
        ({0: GOOD * float("nan")}, "not orthonormal"),
    ],
)
def test_malformed_bases_are_refused(bases: dict[int, Tensor], message: str) -> None:
    with pytest.raises(VectorError, match=message):
        Subspace(bases, "m", "all", "c", "0" * 16, "f" * 16)


def test_project_and_its_refusals() -> None:
    subspace = Subspace({0: GOOD}, "m", "all", "c", "0" * 16, "f" * 16)
    torch.testing.assert_close(
        subspace.project(0, torch.tensor([[1.0, 2.0, 3.0, 4.0]])),
        torch.tensor([[1.0, 2.0, 0.0, 0.0]]),
    )
    with pytest.raises(VectorError, match=r"no layer 3; it has \[0\]"):
        subspace.project(3, torch.ones(4))
    with pytest.raises(VectorError, match="must be JSON"):
        Subspace({0: GOOD}, "m", "all", "c", "0" * 16, "f" * 16, {"x": torch.ones(1)})


def test_ablating_a_subspace_leaves_nothing_in_it() -> None:
    student = build_student("llama")
    basis = torch.linalg.qr(torch.randn(student.d_model, 3, generator=seeded(5))).Q.T
    subspace = Subspace(
        bases={1: basis},
        method="test",
        selector="all",
        concept="three directions",
        dataset_id="0" * 16,
        student_fingerprint=student.fingerprint,
    )
    plan = subspace_ablation(subspace, 1)
    row = encode(student, Prompt.chat("hello there"))
    seen: list[torch.Tensor] = []
    handle = student.layers[2].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode(), steering(student, [plan], [row]) as edits:
        edits.on_rows("left", len(row.ids))
        student.model(torch.tensor([row.ids]))
    handle.remove()
    special = torch.tensor(row.special)
    inside = subspace.project(1, seen[0][0])
    assert inside[~special].norm() < 1e-4 * seen[0].norm()
    assert inside[special].norm() > 1e-2 * seen[0].norm()
    with pytest.raises(PlanError, match="no layer 0"):
        subspace_ablation(subspace, 0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
