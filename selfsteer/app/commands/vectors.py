"""`selfsteer vectors` and `selfsteer vector show|similar|export|import`: the vectors in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfsteer.app import options
from selfsteer.app.loading import load_student, load_vector, open_memory
from selfsteer.app.output import literal, print_json, stdout, table
from selfsteer.errors import VectorError

if TYPE_CHECKING:
    from selfsteer.memory.store import Memory

vector = typer.Typer(
    no_args_is_help=True, help="Look at a vector; compare, export, import or compose one."
)

Source = Annotated[str, typer.Argument(metavar="ID", help="The id of a vector, or a vector file.")]


def vectors(db: options.Db = None, json_: options.Json = False) -> None:
    """List the steering vectors in memory, oldest first."""
    with open_memory(db, read_only=True) as memory:
        goals = _goals(memory)
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
def similar(
    source: Source,
    layer: Annotated[
        int | None,
        typer.Option(help="Where to compare. Default: the vector's middle layer."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 10,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Show which vectors in memory point the same way, and the goals that they met."""
    from selfsteer.memory.neighbours import Neighbours

    found = load_vector(source, db)
    where = found.layers[len(found.layers) // 2] if layer is None else layer
    with open_memory(db, read_only=True) as memory:
        nearest = Neighbours(memory).similar(found, where, limit)
        concepts = {kept.id: kept.meta["concept"] for kept in memory.vectors()}
        goals = _goals(memory)
    rows = [
        {
            "id": hit.vector_id,
            "cosine": hit.cosine,
            "concept": concepts.get(hit.vector_id),
            "accepted_for": goals.get(hit.vector_id, []),
        }
        for hit in nearest
    ]
    if json_:
        print_json({"id": found.id, "layer": where, "similar": rows})
        return
    columns = ("id", "cosine", "concept", "accepted for")
    listing = table(f"layer {where}", *columns, right=("id", "cosine"))
    for row in rows:
        words = map(literal, (row["concept"], "; ".join(goals.get(str(row["id"]), ()))))
        listing.add_row(literal(row["id"]), f"{row['cosine']:.3f}", *words)
    stdout().print(listing)


@vector.command()
def export(
    source: Source,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    format: Annotated[
        str,
        typer.Option(
            help="selfsteer (safetensors), gguf (llama.cpp, repeng), or easysteer (a JSON spec "
            "with a GGUF file beside it)."
        ),
    ] = "selfsteer",
    strength: Annotated[
        float | None,
        typer.Option(
            help="The strength that a coefficient of 1 gives at every layer. Default: the raw "
            "directions.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Write a vector to a file, for us or for another library."""
    from selfsteer.steering.formats.exchange import export_vector, written_files

    targets = written_files(file, format)
    for target in targets:
        if target.exists() and not force:
            raise VectorError(f"{target} exists; choose another name or give --force.")
    found = load_vector(source, db)
    stored = not Path(source).is_file()
    with _on_record(found.id, targets, db) if stored else nullcontext():
        files = export_vector(found, file, format=format, strength=strength)
    if json_:
        size = file.stat().st_size
        paths = [str(path) for path in files]
        print_json(
            {"id": found.id, "path": str(file), "bytes": size, "format": format, "files": paths}
        )
        return
    for path in files:
        stdout().print(literal(path))


@vector.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to read.")],
    student: options.StudentName = "pocket",
    format: Annotated[
        str | None,
        typer.Option(
            help="selfsteer, gguf (llama.cpp, repeng), steering-vectors, persona-vectors or "
            "aisteer360. Default: told by the content.",
            show_default=False,
        ),
    ] = None,
    concept: Annotated[
        str | None,
        typer.Option(
            help="What it steers towards. Default: the name of the file.", show_default=False
        ),
    ] = None,
    db: options.Db = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json_: options.Json = False,
) -> None:
    """Take a vector of another library into memory, for the student that it belongs to."""
    from selfsteer.steering.formats.coefficients import strength_of
    from selfsteer.steering.formats.exchange import import_vector

    model = load_student(student, device, dtype)
    found = import_vector(file, model, format=format, concept=concept)
    with open_memory(db) as memory:
        memory.put_vector(found)
    strengths = [
        {"layer": layer, "strength": strength_of(found, layer), "norm": found.residual_norms[layer]}
        for layer in found.layers
    ]
    if json_:
        print_json(
            {
                "id": found.id,
                "path": str(file),
                "format": found.notes.get("format", "selfsteer"),
                "left_out": found.notes.get("left_out"),
                "layers": strengths,
            }
        )
        return
    console = stdout()
    console.print(literal(f"id: {found.id}"))
    if "left_out" in found.notes:
        console.print(literal(f"left out: {found.notes['left_out']}"))
    columns = ("layer", "strength of a coefficient of 1", "residual norm")
    listing = table(None, *columns, right=columns)
    for row in strengths:
        listing.add_row(str(row["layer"]), f"{row['strength']:.3f}", f"{row['norm']:.3f}")
    console.print(listing)


def _goals(memory: Memory) -> dict[str, list[str]]:
    """The goals that remembered plans met with a vector, by its id, oldest first."""
    from selfsteer.memory.records import to_json
    from selfsteer.memory.references import ids_in

    goals: dict[str, list[str]] = {}
    for found in memory.remembered():
        for name in dict.fromkeys([found.vector_id, *ids_in(to_json(found.plan))]):
            goals.setdefault(name, []).append(found.goal)
    return goals


@contextmanager
def _on_record(vector_id: str, files: Sequence[Path], db: Path | None) -> Iterator[None]:
    """Write files of a vector: on record, to be forgotten with the users whose data it came from.

    Files that were about a user are so no longer once a vector of nobody's is in them.
    """
    from selfsteer.app.noting import open_for_files

    with open_memory(db, read_only=True) as memory:
        users = memory.users.owners(vector_id)
        keep = bool(users) or any(map(memory.files.known, files))
    if not keep:
        yield
        return
    with open_for_files(db) as memory, memory.files.writing("vector", files, user_ids=users):
        yield


def _span(layers: Any) -> str:
    """Layers in short: first to last where none is missing."""
    numbers = [int(layer) for layer in layers]
    if numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
