"""Gates: conditional activation steering (CAST, Lee et al. 2024).

An edit with a gate acts on a row only if the row's prompt meets a condition. With h the mean of an
activation over the prompt's tokens and c a condition vector, the condition is that
sim(h, proj_c h), the cosine of h and its projection on c, passes a threshold. This is the size of
the cosine of h and c, which cannot tell c from its opposite; `signed` takes the cosine itself.
(The authors' code puts a tanh on the projection; their formula, which this follows, does not.)

The condition is decided once a row, where its prompt is read, and holds for the prompt and the
whole reply. It sees what earlier edits of the plan, at earlier layers, left of the activation, and
nothing that its own layer's edits do. Layers of the condition must therefore not lie behind the
first layer that is edited.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from selfsteer.errors import PlanError
from selfsteer.steering.selectors import parse
from selfsteer.steering.thresholds import Criterion, fit_threshold
from selfsteer.steering.vectors import SteeringVector

_TINY = 1e-12


@dataclass(frozen=True)
class Gate:
    """A condition on a row's prompt.

    Attributes:
        condition: the condition vector.
        layers: where it is read; layer k is the output of block k. With several, one that passes
            is enough.
        threshold: what the similarity, between -1 and 1, is compared with.
        above: whether the similarity must be above the threshold, or below it.
        signed: compare the cosine itself instead of its size.
        selector: which of the prompt's tokens are averaged; it never sees the reply.

    Raises:
        PlanError: no layers, a layer that the condition has not, a threshold that is not finite.
        SelectorError: a selector that cannot be read.
    """

    condition: SteeringVector
    layers: tuple[int, ...]
    threshold: float
    above: bool = True
    signed: bool = False
    selector: str = "prompt"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise PlanError("A gate names no layer; give it at least one.")
        missing = [k for k in self.layers if k not in self.condition.directions]
        if missing:
            raise PlanError(
                f"Condition vector {self.condition.id} has no direction for layer {missing[0]}; "
                f"it has {sorted(self.condition.directions)}."
            )
        if not math.isfinite(self.threshold):
            raise PlanError(f"The threshold of a gate is {self.threshold}; give a number.")
        parse(self.selector)

    @classmethod
    def fit(
        cls,
        condition: SteeringVector,
        layers: tuple[int, ...],
        positive: Tensor,
        negative: Tensor,
        *,
        criterion: Criterion = "f1",
        signed: bool = False,
        selector: str = "prompt",
    ) -> Gate:
        """The gate that best tells prompts that should open it from others.

        Both directions of comparison are tried, as CAST does; ties go to `above`.

        Args:
            positive: [L, N, D] activations at `layers`, one mean for each prompt that should open
                the gate: `capture(student, prompts, layers, selector).values`.
            negative: [L, M, D] of prompts that should not.
            criterion: what is maximised, see `fit_threshold`.

        Raises:
            PlanError: no examples on one side, scores that are NaN, or what a gate refuses.
        """
        found = []
        for above in (True, False):
            draft = cls(condition, layers, 0.0, above, signed, selector)
            sign = 1 if above else -1
            fitted = fit_threshold(
                sign * draft.scores(positive), sign * draft.scores(negative), criterion
            )
            gate = cls(condition, layers, sign * fitted.value, above, signed, selector)
            found.append((fitted.quality, gate))
        return max(found, key=lambda pair: pair[0])[1]

    def scores(self, activations: Tensor) -> Tensor:
        """[N] float32, what is compared with the threshold, from means [L, N, D] at the layers."""
        directions = torch.stack([self.condition.unit(k) for k in self.layers])
        cosines = similarity(
            activations.float(), directions[:, None].to(activations.device), self.signed
        )
        return cosines.amax(0)[..., 0] if self.above else cosines.amin(0)[..., 0]

    def describe(self) -> dict[str, Any]:
        """The gate as JSON values, with its vector named by id."""
        return {
            "condition": self.condition.id,
            "layers": list(self.layers),
            "threshold": self.threshold,
            "above": self.above,
            "signed": self.signed,
            "selector": self.selector,
        }


def similarity(activation: Tensor, direction: Tensor, signed: Tensor | bool) -> Tensor:
    """sim(h, proj_c h), or the cosine of h and c where `signed`: [..., 1] from [..., D].

    Args:
        direction: c with length 1.
        signed: a bool, or bools that broadcast to [..., 1].
    """
    along = (activation * direction).sum(-1, keepdim=True)
    cosine = along / activation.norm(dim=-1, keepdim=True).clamp_min(_TINY)
    signed = torch.as_tensor(signed, device=cosine.device)
    return torch.where(signed, cosine, cosine.abs())
