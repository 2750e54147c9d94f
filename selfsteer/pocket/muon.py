"""Muon: momentum whose update of a matrix is replaced by the nearest (semi-)orthogonal matrix.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the scale
`0.2 * sqrt(max(rows, columns))`, which makes AdamW's learning rates and weight decay fit, is from
Liu et al., "Muon is scalable for LLM training" (2025). Matrices of one shape are orthogonalised in
one batch, which on a CPU costs a small part of a step where one by one it would cost half of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# The quintic whose iteration drives singular values towards 1 fastest (Jordan et al.).
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Approximate U V^T of each matrix U S V^T: singular values end in about 0.7 to 1.2.

    Args:
        matrices: [N, rows, columns].
        steps: Newton-Schulz iterations.
    """
    a, b, c = QUINTIC
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / wide.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = x if matrices.shape[1] <= matrices.shape[2] else x.mT
    return result


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for two-dimensional parameters."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients at hand."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in shapes.items():
                self._step_shape(group, shape, parameters)

    def _step_shape(
        self, group: dict[str, float], shape: torch.Size, parameters: list[Tensor]
    ) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        for p in parameters:
            self.state[p].setdefault("momentum", torch.zeros_like(p))
        momenta = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
        updates = orthogonalise(torch.stack(ahead)).unbind()
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        scale = 0.2 * max(shape) ** 0.5
        torch._foreach_add_(parameters, updates, alpha=-group["lr"] * scale)
