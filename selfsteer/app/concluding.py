"""How a command that ran the loop ends: what the run came to and what it paid for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from selfsteer.agents.steps import steps_of_verdict
from selfsteer.app.draining import DRAINED
from selfsteer.app.hints import command
from selfsteer.app.output import literal, paid_words, plan_lines, print_json, stdout
from selfsteer.memory.records import Paid, Run

WAITING = 3  # exit code


def as_json(ended: Run) -> dict[str, Any]:
    """What `--json` says first of any run that ended."""
    return {
        "run": ended.id,
        "goal": ended.goal,
        "student": ended.student,
        "controller": ended.controller,
        "seed": ended.seed,
        "status": ended.status,
        "verdict": ended.verdict or {},
    }


def conclude(ended: Run, paid: Paid, db: Path, *, json_: bool) -> None:
    """Print what a run came to and what it paid for, and set the exit code.

    Args:
        db: the memory that holds the run.

    Raises:
        typer.Exit: with 1, 3 or that of a drained run, wherever the goal is not reached.
    """
    verdict: dict[str, Any] = ended.verdict or {}
    if ended.status == "stopped":
        raise typer.Exit(DRAINED)
    if ended.status == "waiting" and not json_:
        look = command(f"approve {ended.id}", db)
        stdout().print(literal(f"waiting for approval; look with: {look}"))
    elif json_:
        print_json(
            {
                **as_json(ended),
                "paid": paid.model_dump(),
                "seconds": round(ended.seconds, 3),
            }
        )
    else:
        console = stdout()
        console.print(literal(f"{ended.status}: {verdict.get('reason', '')}"))
        for line in plan_lines(steps_of_verdict(verdict)):
            console.print(literal(line))
        if paid.calls:
            console.print(literal(f"paid: {paid_words(paid)}"))
        page = command(f"report {ended.id}", db)
        console.print(literal(f"{ended.seconds:.1f} s; for a page: {page}"))
    if ended.status != "accepted":
        raise typer.Exit(WAITING if ended.status == "waiting" else 1)
