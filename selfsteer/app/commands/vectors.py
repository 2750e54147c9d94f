"""`selfsteer vectors` and `selfsteer vector show|export`: the steering vectors in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from selfsteer.app import options
from selfsteer.app.loading import load_vector, open_memory
from selfsteer.app.output import literal, print_json, stdout, table
from selfsteer.errors import VectorError

vector = typer.Typer(no_args_is_help=True, help="Look at one vector, or write it to a file.")

VectorId = Annotated[
    str, typer.Argument(metavar="ID", help="The id of a vector; see `selfsteer vectors`.")
]
Source = Annotated[str, typer.Argument(metavar="ID", help="The id of a vector, or a vector file.")]


def vectors(db: options.Db = None, json_: options.Json = False) -> None:
    """List the steering vectors in memory, oldest first."""
    with open_memory(db, read_only=True) as memory:
        goals: dict[str, list[str]] = {}
        for found in memory.remembered():
            goals.setdefault(found.vector_id, []).append(found.goal)
        rows = [
            {
                "id": kept.id,
                **kept.meta,
                "accepted_for": goals.get(kept.id, []),
                "created": kept.created,
            }
            for kept in memory.vectors()
        ]
    if json_:
        print_json({"vectors": rows})
        return
    listing = table(
        None, "id", "concept", "method", "read from", "layers", "accepted", right=("id",)
    )
    for row in rows:
        accepted = "yes" if row["accepted_for"] else ""
        words = (row[name] for name in ("id", "concept", "method", "selector"))
        listing.add_row(*map(literal, (*words, _span(row["layers"]), accepted)))
    stdout().print(listing)


@vector.command()
def show(source: Source, db: options.Db = None, json_: options.Json = False) -> None:
    """Show where a vector came from and how long it is at each layer."""
    found = load_vector(source, db)
    lengths = [
        {
            "layer": layer,
            "length": float(found.directions[layer].norm()),
            "residual_norm": found.residual_norms[layer],
        }
        for layer in found.layers
    ]
    provenance = {
        "id": found.id,
        "concept": found.concept,
        "method": found.method,
        "selector": found.selector,
        "dataset_id": found.dataset_id,
        "student_fingerprint": found.student_fingerprint,
        "parents": list(found.parents),
        "created": found.created,
        "notes": dict(found.notes),
        "width": found.d_model,
    }
    if json_:
        print_json({**provenance, "layers": lengths})
        return
    console = stdout()
    for name, value in provenance.items():
        console.print(literal(f"{name}: {value}"))
    listing = table(
        None, *("layer", "length", "residual norm"), right=("layer", "length", "residual norm")
    )
    for row in lengths:
        listing.add_row(str(row["layer"]), f"{row['length']:.3f}", f"{row['residual_norm']:.3f}")
    console.print(listing)


@vector.command()
def export(
    vector_id: VectorId,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The safetensors file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Write a vector to a safetensors file."""
    if file.exists() and not force:
        raise VectorError(f"{file} exists; choose another name or give --force.")
    with open_memory(db, read_only=True) as memory:
        memory.get_vector(vector_id).save(file)
    if json_:
        print_json({"id": vector_id, "path": str(file), "bytes": file.stat().st_size})
    else:
        stdout().print(literal(file))


def _span(layers: Any) -> str:
    """Layers in short: first to last where none is missing."""
    numbers = [int(layer) for layer in layers]
    if numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
