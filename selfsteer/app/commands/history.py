"""`selfsteer runs` and `selfsteer report`: what was done so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfsteer.app import options
from selfsteer.app.loading import open_memory
from selfsteer.app.output import figure, literal, measured, print_json, stdout, table

if TYPE_CHECKING:
    from selfsteer.memory.records import Run


def runs(db: options.Db = None, json_: options.Json = False) -> None:
    """List the runs in memory, newest first."""
    with open_memory(db, read_only=True) as memory:
        rows = [_summary(run) for run in memory.runs.all()]
    if json_:
        print_json({"runs": rows})
        return
    listing = table(
        None,
        *("run", "goal", "student", "controller", "status"),
        *("steerability", "coherence", "retention", "seconds"),
        right=("run", "steerability", "coherence", "retention", "seconds"),
    )
    for row in rows:
        words = [literal(row[name]) for name in ("run", "goal", "student", "controller", "status")]
        scores = [figure(row[name]) for name in ("steerability", "coherence", "retention")]
        listing.add_row(*words, *scores, f"{row['seconds']:.1f}")
    stdout().print(listing)


def report(
    run_id: options.RunId,
    out: Annotated[
        Path | None,
        typer.Option(help="The page to write.", show_default="selfsteer-report-RUN.html"),
    ] = None,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Write one self-contained HTML page about a run."""
    from selfsteer.app.noting import open_for_files
    from selfsteer.app.report.page import write_report

    path = out or Path(f"selfsteer-report-{run_id}.html")
    with open_for_files(db) as memory:
        write_report(memory, run_id, path)
    if json_:
        print_json({"run": run_id, "path": str(path), "bytes": path.stat().st_size})
    else:
        stdout().print(literal(path))


def _summary(run: Run) -> dict[str, Any]:
    verdict = run.verdict or {}
    scores = {name: measured(verdict, name) for name in ("steerability", "coherence", "retention")}
    return {
        "run": run.id,
        "goal": run.goal,
        "student": run.student,
        "controller": run.controller,
        "seed": run.seed,
        "status": run.status,
        **scores,
        "vector": verdict.get("vector_id"),
        "recalled": verdict.get("recalled"),
        "started": run.started,
        "seconds": round(run.seconds, 3),
    }
