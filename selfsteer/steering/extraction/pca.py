"""Principal components of contrastive pairs, three ways that keep the mean difference.

With `d` the difference of a pair:

- :func:`pca` takes each side relative to the midpoint of its pair, which leaves `d/2` on one side
  and `-d/2` on the other: what the two sides share is gone, and what they differ in is not. This is
  `pca_center` of repeng.
- :func:`uncentred_pca` takes the differences themselves about the origin, as the PCA aggregator of
  steering-vectors does. The scatter of `d/2` and `-d/2` is half the scatter of `d`, so its
  direction is the same; only the length has another meaning.
- :func:`spherical_pca` first gives every difference length 1, so that every pair has one vote and
  no pair wins by its size.

The PCA that centres the differences (`pca_diff` of repeng) is not here: it removes their mean,
which is the concept itself. The idea of a component of paired differences: Zou et al.,
"Representation engineering" (2023).
"""

from __future__ import annotations

from torch import Tensor

from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.components import along, right_singular_vectors


def pca(activations: ContrastiveActivations) -> Tensor:
    """``[L, D]``, along the first component about the midpoints, towards the positive side.

    A component has neither sign nor scale: it gets the sign and the length of the mean
    difference's projection on it.
    """
    differences = activations.differences()
    components, _ = right_singular_vectors(differences, 1)
    return along(components[:, 0], differences.mean(dim=1))


def uncentred_pca(activations: ContrastiveActivations) -> Tensor:
    """``[L, D]``, the first right singular vector of the raw differences, uncentred.

    Its length is the root mean square of the differences' projections on it (the singular value
    over the root of N): how far the pairs differ along it, whichever way. The sign is that of the
    mean difference.
    """
    differences = activations.differences()
    components, values = right_singular_vectors(differences, 1)
    component = components[:, 0]
    sign = (component * differences.mean(dim=1)).sum(dim=-1, keepdim=True).sign()
    direction: Tensor = sign * values / activations.n_pairs**0.5 * component
    return direction


def spherical_pca(activations: ContrastiveActivations) -> Tensor:
    """``[L, D]``, along the first component of differences of length 1, uncentred.

    The sign and the length are those of the mean difference's projection on it. Source: Locantore
    et al., "Robust principal component analysis for functional data" (1999), who project on the
    sphere about a centre; here the centre is the origin.
    """
    differences = activations.differences()
    lengths = differences.norm(dim=-1, keepdim=True)
    components, _ = right_singular_vectors(differences / lengths.where(lengths > 0, 1), 1)
    return along(components[:, 0], differences.mean(dim=1))
