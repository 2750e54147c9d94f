"""How vectors spread: a population of users who copy from each other what predicts them better.

A pure model of imitation. Every user has one vector in use; what it is worth to them is the gain in
predicting them, in bits per token, measured elsewhere. In every step each user looks at one contact
and adopts that contact's vector with a probability that grows with what it would gain over their
own:

    P(adopt) = 1 / (1 + exp(-selection * (gain of the contact's vector - gain of the own one)))

This is pairwise comparison with the Fermi rule: Blume, "The statistical mechanics of strategic
interaction" (1993); Szabó and Tőke, "Evolutionary prisoner's dilemma game on a square lattice"
(1998); Traulsen, Nowak and Pacheco, "Stochastic dynamics of invasion and fixation" (2006). Unlike
there a payoff belongs to the pair of user and vector, not to the vector: what predicts one user may
mislead another. Users look and switch all at once. Those who innovate take any vector, each as
likely, instead of looking at anybody (the mutation of the K-allele model in population genetics).

Where nothing is gained, or ``selection`` is 0, the coin is fair: drift. The expected shares then
stay what they are, as long as all users have as many contacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfsteer.errors import PopulationError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Spread:
    """What became of the vectors, in R repetitions of T steps.

    Attributes:
        shares: [R, T + 1, V] the share of users with each vector, from the start.
        gain: [R, T + 1] bits per token that the vectors in use gain, mean over users.
        adopted: [R, U] the vector of every user at the end.
        selection, innovation: as they were given.
    """

    shares: Floats
    gain: Floats
    adopted: Ints
    selection: float
    innovation: float

    @property
    def entropy(self) -> Floats:
        """[R, T + 1] Shannon's entropy of the shares, in nats: 0 where all have the same."""
        held = np.where(self.shares > 0, self.shares, 1.0)
        entropy: Floats = np.abs((held * np.log(held)).sum(-1))  # abs, for zero without a sign
        return entropy

    @property
    def effective(self) -> Floats:
        """[R, T + 1] exp(entropy): as many evenly used vectors would be as diverse (Hill, 1973)."""
        return np.exp(self.entropy)

    @property
    def fixed_at(self) -> Ints:
        """[R] the first step at which all users had the same vector; -1 where that never was."""
        alone = self.shares.max(-1) == 1.0
        return np.where(alone.any(1), alone.argmax(1), -1)

    @property
    def fixed(self) -> Ints:
        """[R] the vector that all users had then; -1 where there was none."""
        at = self.fixed_at
        found = self.shares[np.arange(len(at)), at].argmax(-1)
        return np.where(at >= 0, found, -1)


def spread(
    gains: NDArray[np.floating] | Sequence[Sequence[float]],
    *,
    steps: int,
    selection: float = 10.0,
    innovation: float = 0.0,
    contacts: NDArray[np.bool_] | None = None,
    start: Sequence[int] | None = None,
    repetitions: int = 1,
    seed: int = 0,
) -> Spread:
    """Let the vectors spread.

    Args:
        gains: [users, vectors] bits per token by which each vector predicts each user better than
            none does.
        steps: in each of which every user looks once.
        selection: how sharply users tell gains apart, per bit per token; 0 is drift.
        innovation: the probability, for each user and step, to take any vector instead of looking.
        contacts: [users, users] who looks at whom; None for a well-mixed population, in which each
            user looks at any other.
        start: [users] the vector of each user at first; None deals the vectors out evenly, at
            random.
        repetitions: independent runs, all computed at once.
        seed: of every draw.

    Raises:
        PopulationError: gains that are not a finite matrix of two users and one vector at least, a
            rate out of range, contacts of another shape or of a user with none, a start that names
            a vector which is not there.
    """
    worth = np.asarray(gains, dtype=np.float64)
    _check(worth, steps, selection, innovation, repetitions)
    users, vectors = worth.shape
    neighbours, degrees = _neighbours(contacts, users)
    random = np.random.default_rng(seed)
    held = _start(start, users, vectors, repetitions, random)
    everyone = np.arange(users)
    shares, gained = [_shares(held, vectors)], [worth[everyone, held].mean(1)]
    for _ in range(steps):
        place = (random.random(held.shape) * degrees).astype(np.int64)
        seen = np.take_along_axis(held, neighbours[everyone, place], axis=1)
        advantage = worth[everyone, seen] - worth[everyone, held]
        # tanh is the same function, and never overflows
        adopts = random.random(held.shape) < 0.5 * (1 + np.tanh(0.5 * selection * advantage))
        held = np.where(adopts, seen, held)
        innovates = random.random(held.shape) < innovation
        held = np.where(innovates, random.integers(vectors, size=held.shape), held)
        shares.append(_shares(held, vectors))
        gained.append(worth[everyone, held].mean(1))
    return Spread(np.stack(shares, 1), np.stack(gained, 1), held, selection, innovation)


def ring(users: int, near: int) -> NDArray[np.bool_]:
    """[users, users] contacts on a ring: each user knows the ``near`` next ones on either side.

    Raises:
        PopulationError: fewer than one, or more than there are.
    """
    if not 1 <= near <= (users - 1) // 2:
        raise PopulationError(
            f"On a ring of {users} users each knows 1 to {(users - 1) // 2} on either side, not "
            f"{near}."
        )
    apart = np.abs(np.subtract.outer(np.arange(users), np.arange(users)))
    apart = np.minimum(apart, users - apart)
    known: NDArray[np.bool_] = (apart >= 1) & (apart <= near)
    return known


def _check(
    worth: Floats, steps: int, selection: float, innovation: float, repetitions: int
) -> None:
    if worth.ndim != 2 or worth.shape[0] < 2 or worth.shape[1] < 1 or not np.isfinite(worth).all():
        raise PopulationError(
            "The gains must be finite numbers for two users or more and one vector or more, not "
            f"of shape {list(worth.shape)}."
        )
    for name, value, good in (
        ("steps", steps, steps >= 1),
        ("repetitions", repetitions, repetitions >= 1),
        ("selection", selection, 0 <= selection < np.inf),
        ("innovation", innovation, 0 <= innovation <= 1),
    ):
        if not good:
            raise PopulationError(f"The spread of vectors cannot be computed with {name} {value}.")


def _neighbours(contacts: NDArray[np.bool_] | None, users: int) -> tuple[Ints, Ints]:
    """[users, most] whom each user knows, padded, and [users] how many these are."""
    known = ~np.eye(users, dtype=bool) if contacts is None else np.asarray(contacts, dtype=bool)
    degrees = known.sum(-1)
    if known.shape != (users, users) or known.diagonal().any() or not degrees.all():
        raise PopulationError(
            f"The contacts must say for each of {users} users which others they know, one at "
            "least and never themselves."
        )
    # A stable sort brings those who are known to the front.
    order = np.argsort(~known, axis=1, kind="stable")
    return order[:, : degrees.max()], degrees


def _start(
    start: Sequence[int] | None,
    users: int,
    vectors: int,
    repetitions: int,
    random: np.random.Generator,
) -> Ints:
    """[repetitions, users] the vector of each user at first."""
    if start is None:
        dealt = np.tile(np.arange(users) % vectors, (repetitions, 1))
        return random.permuted(dealt, axis=1)
    given = np.asarray(start)
    if given.shape != (users,) or given.dtype.kind not in "iu" or not _named(given, vectors):
        raise PopulationError(
            f"The start must name one of the vectors 0 to {vectors - 1} for each of {users} users."
        )
    return np.tile(given.astype(np.int64), (repetitions, 1))


def _named(given: NDArray[np.integer], vectors: int) -> bool:
    return bool(((given >= 0) & (given < vectors)).all())


def _shares(held: Ints, vectors: int) -> Floats:
    """[R, V] the share of users with each vector."""
    counts = (held[:, :, None] == np.arange(vectors)).sum(1)
    shares: Floats = counts / held.shape[1]
    return shares
