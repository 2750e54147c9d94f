"""The family of a stored vector: its ancestors, and what it is made of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from selfsteer.errors import MemoryFileError
from selfsteer.memory.store import Memory
from selfsteer.steering.decomposition import Decomposition, decompose, similarity
from selfsteer.steering.vectors import SteeringVector


@dataclass(frozen=True)
class Ancestor:
    """A member of a family tree.

    Attributes:
        id: of the vector.
        generation: steps from the vector whose family this is, along the shortest line.
        stored: the memory holds it; else nothing but its id is known.
        method: the extraction method, or the operation that made it from its parents.
        concept: what it steers towards.
        dataset_id: the data that it was read from; empty where several were combined.
        runs: ids of the runs of which a round ended with it.
        parents: ids of the vectors that it was computed from.
    """

    id: str
    generation: int
    stored: bool
    method: str = ""
    concept: str = ""
    dataset_id: str = ""
    runs: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Neighbour:
    """A stored vector that points in a similar direction.

    Attributes:
        cosine: the mean over the layers that both have.
    """

    id: str
    concept: str
    cosine: float


@dataclass(frozen=True)
class Explanation:
    """What the library of a memory says about a vector.

    Attributes:
        made_of: the vector as a sum of stored vectors that do not descend from it.
        concepts: of the vectors in that sum, by id.
        ancestors: ids of its stored ancestors.
        neighbours: the stored vectors with the largest cosines to it, descendants too.
    """

    made_of: Decomposition
    concepts: dict[str, str]
    ancestors: frozenset[str]
    neighbours: list[Neighbour]


def family(memory: Memory, vector: SteeringVector) -> dict[str, Ancestor]:
    """The vector and all its ancestors by id, the nearest generation first.

    An ancestor over several lines stands once: lines of descent meet, and a tree of them could
    be far larger than the memory.
    """
    stored = {kept.id: kept.meta for kept in memory.vectors()}
    runs = memory.runs.with_vectors()
    found = {
        vector.id: Ancestor(
            id=vector.id,
            generation=0,
            stored=vector.id in stored,
            method=vector.method,
            concept=vector.concept,
            dataset_id=vector.dataset_id,
            runs=runs.get(vector.id, ()),
            parents=vector.parents,
        )
    }
    waiting = [found[vector.id]]
    for child in waiting:
        for name in child.parents:
            if name not in found:
                found[name] = _ancestor(name, child.generation + 1, stored.get(name), runs)
                waiting.append(found[name])
    return found


def explain(memory: Memory, vector: SteeringVector, *, neighbours: int = 5) -> Explanation:
    """Say what a vector is made of, and what it is like, by all other vectors of its student.

    Ancestors come before other vectors, and extracted vectors before composed ones, so that a sum
    is told in terms of what it was made from, and not of its siblings. Vectors that descend from
    this one say nothing about what it is made of. Those that were altered in the file are left out,
    with a warning.

    Raises:
        VectorError: the vector is zero at every layer.
        MemoryFileError: the file cannot be read.
    """
    ancestors = {name for name in family(memory, vector) if name != vector.id}
    library = list(_library(memory, vector))
    parents = {other.id: other.parents for other in library}
    descendants = _descendants(vector.id, parents)
    sources = sorted(
        (other for other in library if other.id not in descendants),
        key=lambda other: (other.id not in ancestors, bool(other.parents)),
    )
    made_of = decompose(vector, sources)
    near = [
        Neighbour(id=other.id, concept=other.concept, cosine=cosine)
        for other in library
        if (cosine := similarity(vector, other)) is not None
    ]
    return Explanation(
        made_of=made_of,
        concepts={other.id: other.concept for other in sources if other.id in made_of.coefficients},
        ancestors=frozenset(ancestors & parents.keys()),
        neighbours=sorted(near, key=lambda one: -one.cosine)[:neighbours],
    )


def _library(memory: Memory, vector: SteeringVector) -> Iterator[SteeringVector]:
    """All other vectors of its student that are as they were stored."""
    for kept in memory.vectors():
        if kept.meta["student_fingerprint"] != vector.student_fingerprint or kept.id == vector.id:
            continue
        try:
            yield memory.get_vector(kept.id)
        except MemoryFileError as error:
            warnings.warn(f"{error} It is left out.", stacklevel=3)


def _ancestor(
    name: str, generation: int, meta: Mapping[str, Any] | None, runs: Mapping[str, tuple[str, ...]]
) -> Ancestor:
    if meta is None:
        return Ancestor(id=name, generation=generation, stored=False)
    return Ancestor(
        id=name,
        generation=generation,
        stored=True,
        method=meta["method"],
        concept=meta["concept"],
        dataset_id=meta["dataset_id"],
        runs=runs.get(name, ()),
        parents=tuple(meta["parents"]),
    )


def _descendants(name: str, parents: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The ids of all that have ``name`` among their ancestors."""
    children: dict[str, list[str]] = {}
    for child, its_parents in parents.items():
        for parent in its_parents:
            children.setdefault(parent, []).append(child)
    found: set[str] = set()
    waiting = [name]
    for one in waiting:
        fresh = set(children.get(one, ())) - found
        found |= fresh
        waiting += fresh
    return found
