"""`selfsteer generate`: one reply, steered or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfsteer.app import options
from selfsteer.app.loading import load_student, load_vector, open_memory
from selfsteer.app.output import clean, print_json, stdout
from selfsteer.errors import PlanError

if TYPE_CHECKING:
    from selfsteer.steering.plan import Plan


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the user says.")],
    vector: Annotated[
        str | None, typer.Option(metavar="ID|FILE", help="The vector; none leaves the student be.")
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(
            help="Where to steer. Default: where the vector was accepted.", show_default=False
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="How strongly. Default: as the vector was accepted.", show_default=False),
    ] = None,
    operator: Annotated[
        str | None,
        typer.Option(
            help="add or ablate. Default: as the vector was accepted.", show_default=False
        ),
    ] = None,
    selector: Annotated[
        str | None,
        typer.Option(
            help="Which tokens to steer, such as all, last or 'response[0:8]'. Default: as the "
            "vector was accepted, or else as suits the tokens that it was read from.",
            show_default=False,
        ),
    ] = None,
    student: options.StudentName = "pocket",
    system: Annotated[str | None, typer.Option(help="A system message.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Length limit of the reply.")] = 96,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.8,
    seed: options.Seed = 0,
    db: options.Db = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json_: options.Json = False,
) -> None:
    """Let a student answer one prompt."""
    if not prompt.strip():
        raise PlanError("The prompt is empty; say something to the student.")
    plan = None if vector is None else _plan(vector, layer, strength, operator, selector, db)
    from selfsteer.steering.generate import generate as reply_to
    from selfsteer.steering.prompts import Prompt

    model = load_student(student, device, dtype)
    reply = reply_to(
        model,
        [Prompt.chat(prompt, system=system)],
        plan,
        max_new_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
    )[0]
    if json_:
        print_json(
            {
                "prompt": prompt,
                "system": system,
                "student": student,
                "reply": reply.text,
                "tokens": len(reply.ids),
                "finished": reply.finished,
                "plan": None if plan is None else plan.describe(),
                "seed": seed,
            }
        )
    else:
        stdout().print(clean(reply.text), markup=False)


def _plan(
    source: str,
    layer: int | None,
    strength: float | None,
    operator: str | None,
    selector: str | None,
    db: Path | None,
) -> Plan:
    """The plan of the options; what they leave open is taken from the vector's acceptance."""
    from selfsteer.agents.sites import SITES
    from selfsteer.steering.plan import Edit, Plan

    found = load_vector(source, db)
    given: dict[str, Any] = {
        "layers": None if layer is None else (layer,),
        "strength": strength,
        "operator": operator,
        "selector": selector,
    }
    told = {name: value for name, value in given.items() if value is not None}
    accepted = {} if Path(source).is_file() else _accepted(found.id, db)
    if accepted:
        others = {found.id: found}
        edit = Edit.read(accepted, lambda name: others.get(name) or load_vector(name, db))
        return Plan((replace(edit, **told),))
    if layer is None or strength is None:
        raise PlanError(
            f"Vector {found.id} has not been accepted for any goal here, so --layer and "
            f"--strength are needed; it has layers {', '.join(map(str, found.layers))}."
        )
    suits = next((s.steer for s in SITES.values() if s.read == found.selector), "all")
    return Plan((Edit(found, **({"selector": suits} | told)),))


def _accepted(vector_id: str, db: Path | None) -> dict[str, Any]:
    """The edit with which the vector last met a goal; empty if it never did."""
    with open_memory(db, read_only=True) as memory:
        plans: list[Any] = [row.plan for row in memory.remembered()]
    edits = [edit for plan in plans for edit in plan["edits"] if edit["vector"] == vector_id]
    return edits[-1] if edits else {}
