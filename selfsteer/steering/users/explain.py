"""What a user vector holds: the theory of mind that it amounts to, told after the fact.

Source: the third seed, "post-hoc analyses could be done to analyze what the vector represents".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selfsteer.errors import DatasetError
from selfsteer.steering.decomposition import similarity
from selfsteer.steering.lens import Said, logit_lens
from selfsteer.steering.model import Student
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.saying import say
from selfsteer.steering.users.traits import trait_coordinates
from selfsteer.steering.vectors import SteeringVector

Derive = Callable[[History], SteeringVector]
_EXAMINED = 50  # observations of a kind; leaving each out costs a derivation


@dataclass(frozen=True)
class Influence:
    """What one observation does to the vector.

    Attributes:
        source: id of the observation.
        words: what was observed.
        share: of the vector's length that is there because of it, along the vector; below zero for
            an observation that speaks against what the others say.
        turned: how far the vector turns without it, as 1 less the cosine.
    """

    source: str
    words: str
    share: float
    turned: float


@dataclass(frozen=True)
class Change:
    """A vector against the one before it.

    Attributes:
        cosine: of the two, or None where one is zero.
        length: of the newer one over the older one.
        traits: how each coordinate changed; empty where the older one was made with another map
            of users, in whose coordinates it cannot be told.
        method: of the older one.
    """

    cosine: float | None
    length: float
    traits: dict[str, float]
    method: str


@dataclass(frozen=True)
class UserExplanation:
    """What can be said of a user's vector.

    Attributes:
        traits: its coordinates on the shared basis of named vectors, the strongest first.
        raised, lowered: by layer, the tokens that it speaks for and against (logit lens).
        plus, minus: messages that the student writes in the user's place under the vector, and
            under its opposite.
        influences: what carries it, the strongest first.
        change: since the version before; None where there is none.
    """

    traits: dict[str, float]
    raised: dict[int, list[Said]]
    lowered: dict[int, list[Said]]
    plus: list[str]
    minus: list[str]
    influences: list[Influence]
    change: Change | None


def explain_user(
    student: Student,
    vector: SteeringVector,
    known: Known,
    history: History,
    derive: Derive,
    *,
    dose: float = 1.0,
    before: SteeringVector | None = None,
    samples: int = 8,
    seed: int = 0,
) -> UserExplanation:
    """Say what a user's vector holds and where it comes from.

    Args:
        derive: how the vector was made from the history.
        dose: at which it is added.
        before: the version that it supersedes.
        samples: messages to write under each sign.

    Raises:
        DatasetError, VectorError: as deriving does.
    """
    own = _own(vector, known)
    plans = [user_plan(vector, dose)] * samples + [user_plan(-1.0 * vector, dose)] * samples
    said = say(student, plans, seed=seed)
    around = known.encoder.space.mean.float()
    lens = {
        layer: logit_lens(student, around, dose * direction)
        for layer, direction in vector.directions.items()
    }
    return UserExplanation(
        traits=_traits(own, known),
        raised={layer: gained for layer, (gained, _) in lens.items()},
        lowered={layer: lost for layer, (_, lost) in lens.items()},
        plus=said[:samples],
        minus=said[samples:],
        influences=influences(vector, history, derive),
        change=None if before is None else _change(before, vector, known),
    )


def influences(vector: SteeringVector, history: History, derive: Derive) -> list[Influence]:
    """What each observation carries, by leaving it out; the newest 50 of each kind.

    A user of one observation has no vector without it, and it carries everything.
    """
    found = []
    for source, words, rest in _left_out(history):
        try:
            other = derive(rest)
        except DatasetError:
            found.append(Influence(source, words, 1.0, 1.0))
            continue
        found.append(Influence(source, words, _share(vector, other), _turned(vector, other)))
    return sorted(found, key=lambda one: -abs(one.share))


def _left_out(history: History) -> list[tuple[str, str, History]]:
    """For each observation its source, its words, and the history without it."""
    parts: list[tuple[str, str, History]] = []
    for place in _newest(history.turns):
        turn = history.turns[place]
        rest = replace(history, turns=_without(history.turns, place))
        parts.append((turn.source, turn.words, rest))
    for place in _newest(history.choices):
        choice = history.choices[place]
        rest = replace(history, choices=_without(history.choices, place))
        parts.append((choice.source, choice.chosen, rest))
    for place in _newest(history.ratings):
        rated = history.ratings[place]
        rest = replace(history, ratings=_without(history.ratings, place))
        parts.append((rated.source, f"{rated.rating:g}: {rated.reply}", rest))
    return parts


def _newest(items: Sequence[object]) -> range:
    return range(max(0, len(items) - _EXAMINED), len(items))


def _without(items: Sequence, place: int) -> tuple:  # type: ignore[type-arg]
    return (*items[:place], *items[place + 1 :])


def _share(vector: SteeringVector, other: SteeringVector) -> float:
    """The part of ``vector`` that ``other`` lacks, along ``vector``, over its length."""
    along = length = 0.0
    for layer, direction in vector.directions.items():
        whole = direction.double()
        along += float((whole - other.directions[layer].double()) @ whole)
        length += float(whole @ whole)
    return along / length if length else 0.0


def _turned(vector: SteeringVector, other: SteeringVector) -> float:
    cosine = similarity(vector, other)
    return 0.0 if cosine is None else 1 - cosine


def _own(vector: SteeringVector, known: Known) -> SteeringVector:
    """The vector less the population's where that is a part of it: in all that a map gives."""
    if vector.method in ("user_encoder", "user_traits"):
        return vector - known.encoder.population_vector()
    return vector


def _of_this_map(vector: SteeringVector, known: Known) -> bool:
    return bool(vector.notes.get("encoder", known.encoder.id) == known.encoder.id)


def _traits(own: SteeringVector, known: Known) -> dict[str, float]:
    layer = known.encoder.layer
    if not known.traits or layer not in own.directions:
        return {}
    found = trait_coordinates(own, known.traits, layer)
    return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


def _change(before: SteeringVector, after: SteeringVector, known: Known) -> Change:
    # Both less what is added for everybody, which is none of the user's traits.
    old = _traits(_own(before, known), known) if _of_this_map(before, known) else {}
    new = _traits(_own(after, known), known)
    lengths = [
        sum(float(d.double().square().sum()) for d in v.directions.values()) ** 0.5
        for v in (before, after)
    ]
    return Change(
        cosine=similarity(before, after),
        length=lengths[1] / lengths[0] if lengths[0] else float("inf"),
        traits={name: new[name] - old[name] for name in new if name in old},
        method=before.method,
    )
