"""`selfsteer vector tree|explain`: where a vector comes from and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from selfsteer.app import options
from selfsteer.app.commands.vectors import Source
from selfsteer.app.loading import load_vector, open_memory
from selfsteer.app.output import literal, print_json, stdout, table

if TYPE_CHECKING:
    from selfsteer.memory.lineage import Ancestor, Explanation

_LISTED = 20  # coefficients in the table; all of them are in the JSON


def tree(source: Source, db: options.Db = None, json_: options.Json = False) -> None:
    """Show the family tree of a vector: its parents, their parents, and how each was made."""
    from selfsteer.memory.lineage import family

    vector = load_vector(source, db)
    with open_memory(db, read_only=True) as memory:
        members = family(memory, vector)
    if json_:
        print_json({"id": vector.id, "family": [asdict(member) for member in members.values()]})
        return
    stdout().print(_drawn(vector.id, members))


def explain(source: Source, db: options.Db = None, json_: options.Json = False) -> None:
    """Say what a vector is made of, by the other vectors in memory, and which are nearest."""
    from selfsteer.memory import lineage

    vector = load_vector(source, db)
    with open_memory(db, read_only=True) as memory:
        told = lineage.explain(memory, vector)
    if json_:
        print_json(_record(vector.id, told))
        return
    _print(told)


def _drawn(name: str, members: Mapping[str, Ancestor]) -> Tree:
    """The tree, each member with its parents below it where it is met first."""
    root = Tree(_label(members[name]))
    branches, waiting = {name: root}, [members[name]]
    for child in waiting:
        for parent in dict.fromkeys(child.parents):
            if parent in branches:
                branches[child.id].add(literal(f"{parent}, see its other place"))
                continue
            branches[parent] = branches[child.id].add(_label(members[parent]))
            waiting.append(members[parent])
    return root


def _label(member: Ancestor) -> Text:
    if not member.stored and not member.method:
        return literal(f"{member.id}, not in this memory")
    parts = [f"{member.id} {member.method}: {member.concept}"]
    if member.dataset_id:
        parts.append(f"data {member.dataset_id}")
    if member.runs:
        parts.append(f"runs {', '.join(member.runs)}")
    return literal("; ".join(parts))


def _record(name: str, told: Explanation) -> dict[str, object]:
    made_of = told.made_of
    return {
        "id": name,
        "made_of": [
            {
                "id": other,
                "coefficient": coefficient,
                "ancestor": other in told.ancestors,
                "concept": told.concepts[other],
            }
            for other, coefficient in made_of.coefficients.items()
        ],
        "residual": made_of.residual,
        "residual_by_chance": made_of.by_chance,
        "layers": [
            {"layer": layer, "residual": share, "residual_free": made_of.free_residuals[layer]}
            for layer, share in made_of.layer_residuals.items()
        ],
        "dependent": list(made_of.dependent),
        "unfit": list(made_of.unfit),
        "nearest": [asdict(neighbour) for neighbour in told.neighbours],
    }


def _print(told: Explanation) -> None:
    console, made_of = stdout(), told.made_of
    largest = sorted(made_of.coefficients.items(), key=lambda item: -abs(item[1]))[:_LISTED]
    sums = table("Made of", "id", "coefficient", "ancestor", "concept", right=("coefficient",))
    for name, coefficient in largest:
        ancestor = "yes" if name in told.ancestors else ""
        sums.add_row(name, f"{coefficient:.3f}", ancestor, literal(told.concepts[name]))
    console.print(sums)
    count = len(made_of.coefficients)
    console.print(
        f"unexplained: {made_of.residual:.3f} of the norm; {count} random directions would leave "
        f"{made_of.by_chance:.3f}"
    )
    for number, what in (
        (count - len(largest), "with smaller coefficients"),
        (len(made_of.dependent), "already spanned by these"),
        (len(made_of.unfit), "without these layers"),
    ):
        if number:
            console.print(f"{number} more {what}")
    columns = ("layer", "unexplained", "with coefficients of its own")
    layers = table("By layer", *columns, right=columns)
    for layer, share in made_of.layer_residuals.items():
        layers.add_row(str(layer), f"{share:.3f}", f"{made_of.free_residuals[layer]:.3f}")
    console.print(layers)
    nearest = table("Nearest", "id", "cosine", "concept", right=("cosine",))
    for neighbour in told.neighbours:
        nearest.add_row(neighbour.id, f"{neighbour.cosine:.3f}", literal(neighbour.concept))
    console.print(nearest)
