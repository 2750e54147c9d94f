"""`selfsteer vector compose`: a new vector from those in memory."""

from __future__ import annotations

from typing import Annotated

import typer

from selfsteer.app import options
from selfsteer.app.loading import open_memory
from selfsteer.app.output import literal, print_json, stdout


def compose(
    expression: Annotated[
        str,
        typer.Argument(
            metavar="EXPRESSION",
            help="Ids of vectors with numbers, + - * ( ) and orth(A; B, C), lerp(A, B; t), "
            "slerp(A, B; t), mutate(A; share, seed), cross(A, B; layer, ...).",
        ),
    ],
    strengths: Annotated[
        bool,
        typer.Option(
            "--strengths",
            help="Weights are strengths: every vector of a sum counts by its direction, not by "
            "its length.",
        ),
    ] = False,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Compose a vector, keep it in memory with its lineage, and print its id."""
    from selfsteer.steering import expressions

    # Read first, so that a mistake creates no file.
    with open_memory(db, read_only=True) as memory:
        made = expressions.compose(expression, memory.get_vector, strengths=strengths)
    with open_memory(db) as memory:
        memory.put_vectors(made.steps)
    if json_:
        print_json(
            {
                "id": made.vector.id,
                "concept": made.vector.concept,
                "method": made.vector.method,
                "parents": list(made.vector.parents),
                "steps": [step.id for step in made.steps],
            }
        )
        return
    stdout().print(literal(made.vector.id))
