"""`selfsteer demo`: four goals on the bundled student, from data to verdict."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from selfsteer.app import options
from selfsteer.app.loading import load_student, open_memory
from selfsteer.app.output import literal, print_json, stderr, stdout
from selfsteer.errors import SelfsteerError

FOLDER = Path("build/demo")
BARS = Path("build/bars/demo.json")


def demo(
    seed: Annotated[
        int, typer.Option(min=0, max=options.MOST_SEED, help="Draws the goals and their wording.")
    ] = 0,
    student: Annotated[str, typer.Option(help="A student of Pocket's world.")] = "pocket",
    db: Annotated[
        Path | None,
        typer.Option(
            help="The memory. Default: a fresh file under build/demo.", show_default=False
        ),
    ] = None,
    json_: options.Json = False,
) -> None:
    """Run the whole loop for four goals, show what came of it; exit code 1 if a bar is missed."""
    from selfsteer.app.demo import run_demo
    from selfsteer.app.demo_view import bars, demo_table, write_bars
    from selfsteer.app.report.page import write_report

    folder = _fresh_folder()
    with open_memory(db or folder / "memory.db") as memory:
        result = run_demo(lambda: load_student(student, None, None), memory, student, seed)
        pages = [folder / f"report-{run_id}.html" for run_id in result.run_ids]
        for run_id, page in zip(result.run_ids, pages, strict=True):
            write_report(memory, run_id, page)
    measured = bars(result)
    write_bars(BARS, measured)
    if json_:
        print_json(result.to_json(passed=all(bar.met for bar in measured)))
    else:
        stdout().print(demo_table(result))
    console = stderr() if json_ else stdout()
    for bar in measured:
        if not bar.met:
            console.print(literal(f"missed: {bar}"))
    console.print("reports:")
    for page in pages:
        console.print(literal(f"  {page}"))
    if not all(bar.met for bar in measured):
        raise typer.Exit(1)


def _fresh_folder() -> Path:
    """A new folder for the memory and the pages of this demo, named by the time."""
    folder = FOLDER / datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise SelfsteerError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    return folder
