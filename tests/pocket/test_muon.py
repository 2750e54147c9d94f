"""Muon's update is the orthogonal part of the momentum."""

from __future__ import annotations

import pytest
import torch

from selfsteer.pocket.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 48), (2, 48, 16)])
def test_orthogonalise_keeps_directions_and_levels_singular_values(
    shape: tuple[int, int, int],
) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrices, steps=8)
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    core = u.mT @ result @ vt.mT
    values = core.diagonal(dim1=1, dim2=2)
    assert ((values > 0.6) & (values < 1.3)).all()
    torch.testing.assert_close(core, torch.diag_embed(values), atol=1e-3, rtol=0)


def test_orthogonalise_survives_a_zero_gradient() -> None:
    assert torch.equal(orthogonalise(torch.zeros(1, 8, 8)), torch.zeros(1, 8, 8))


def test_matrices_of_one_shape_do_not_mix() -> None:
    def after_two_steps(count: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        matrices = [torch.nn.Parameter(torch.randn(8, 8, generator=generator)) for _ in range(3)]
        optimiser = Muon(matrices[:count], lr=0.1)
        for _ in range(2):
            for matrix in matrices:
                matrix.grad = matrix.detach() ** 3
            optimiser.step()
        return matrices[0].detach()

    torch.testing.assert_close(after_two_steps(1), after_two_steps(3))


def test_muon_descends() -> None:
    matrix = torch.nn.Parameter(torch.randn(8, 24, generator=torch.Generator().manual_seed(2)))
    optimiser = Muon([matrix], lr=0.2, weight_decay=0.0)
    before = matrix.detach().square().sum()
    for _ in range(40):
        optimiser.zero_grad()
        matrix.square().sum().backward()
        optimiser.step()
    assert matrix.detach().square().sum() < 0.1 * before
