"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Db = Annotated[
    Path | None,
    typer.Option(
        help="The memory; a new file is created. Default: SELFSTEER_DB, or selfsteer.db here.",
        show_default=False,
    ),
]
StudentName = Annotated[
    str, typer.Option(help="The model to steer: pocket, pocket-base, a folder, or a hub name.")
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Where the student runs: cpu or cuda. Default: SELFSTEER_DEVICE, or cpu.",
        show_default=False,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="float32, float16, bfloat16 or auto. Default: SELFSTEER_DTYPE, or float32.",
        show_default=False,
    ),
]
ServedUser = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="A user whose vector in use steers every reply, as it was judged.",
        show_default=False,
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of a run; see `selfsteer runs`.")]
OnAmbiguous = Annotated[
    Literal["ask", "retry"],
    typer.Option(
        help="A paid call without a reply on record may have been paid: ask stops there, "
        "retry pays again."
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        help="Seconds that the large model may send nothing before a call is given up. Default: "
        "SELFSTEER_TIMEOUT, or 120.",
        show_default=False,
    ),
]
MOST_SEED = 2**63 - 1  # that a memory keeps
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of every random choice.")]
