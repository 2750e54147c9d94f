"""How many different vectors serve many users, and whether the number stops to grow.

The question is the third seed's: "if the set of vectors needed to steer the smaller model
approaches some number and plateaus". Three answers: the effective rank of the users' vectors, how
well a dictionary of k vectors gives them back, and what a basis of k keeps of the predictive gain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from selfsteer.errors import DatasetError
from selfsteer.steering.vectors import SteeringVector

# Of the fitting: with the library's own 1.0 atoms are shrunk so much that few are found.
_SPARSITY, _ROUNDS = 0.1, 100


def user_matrix(vectors: Sequence[SteeringVector], layer: int) -> Tensor:
    """[N, D] float64, the vectors less their mean.

    Raises:
        DatasetError: fewer than two vectors.
    """
    if len(vectors) < 2:
        raise DatasetError("A basis of users needs the vectors of two users or more.")
    rows = torch.stack([vector.directions[layer].double() for vector in vectors])
    return rows - rows.mean(0)


def effective_rank(rows: Tensor) -> float:
    """exp of the entropy of the shares of variance: how many directions the rows really use.

    Source: Roy and Vetterli, "The effective rank" (2007), with squared singular values, so that
    shares are those of variance.
    """
    variance = torch.linalg.svdvals(rows).square()
    share = variance / variance.sum()
    share = share[share > 0]
    return float(torch.exp(-(share * share.log()).sum()))


def dictionary_error(rows: Tensor, atoms: int, *, used: int = 4, seed: int = 0) -> float:
    """The share of variance that a learned dictionary leaves, when each user takes a few atoms.

    Args:
        rows: [N, D], of `user_matrix`.
        atoms: of the dictionary.
        used: atoms that one user is told by, at most.

    Raises:
        DatasetError: scikit-learn is not installed.
    """
    try:
        from sklearn.decomposition import DictionaryLearning
    except ImportError:
        raise DatasetError(
            "Dictionaries of users need scikit-learn; install selfsteer with the extra 'study'."
        ) from None
    values = rows.numpy()
    scale = float(np.sqrt(np.mean(np.square(values)))) or 1.0
    learner = DictionaryLearning(
        n_components=atoms,
        alpha=_SPARSITY,
        transform_algorithm="omp",
        transform_n_nonzero_coefs=min(used, atoms),
        max_iter=_ROUNDS,
        random_state=seed,
    )
    codes = learner.fit_transform(values / scale)
    rest = values / scale - codes @ learner.components_
    return float(np.square(rest).sum() / np.square(values / scale).sum())
