"""`selfsteer generate`: one reply, steered or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from selfsteer.app import options
from selfsteer.app.edits import steering_edit
from selfsteer.app.loading import load_student
from selfsteer.app.output import is_text, literal, print_json, stdout
from selfsteer.errors import PlanError

if TYPE_CHECKING:
    from selfsteer.steering.plan import Edit


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
    user: options.ServedUser = None,
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
    if not (is_text(prompt) and is_text(system or "")):
        raise PlanError("The prompt or the system message is not UTF-8; write them in UTF-8.")
    from selfsteer.app.serving import plan_for_user
    from selfsteer.steering.generate import generate as reply_to
    from selfsteer.steering.plan import Plan
    from selfsteer.steering.prompts import Prompt

    edits: tuple[Edit, ...] = ()
    if vector is not None:
        edits = (steering_edit(vector, db, layer, strength, operator, selector),)

    model = load_student(student, device, dtype)
    if user is not None:
        edits = (*plan_for_user(model, user, db).edits, *edits)
    plan = Plan(edits) if vector is not None or user is not None else None
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
                "user": user,
                "student": student,
                "reply": reply.text,
                "tokens": len(reply.ids),
                "finished": reply.finished,
                "plan": None if plan is None else plan.describe(),
                "seed": seed,
            }
        )
    else:
        stdout().print(literal(reply.text))
