"""`selfsteer memory check|gc|backup|export|import|search`: the upkeep of what is remembered."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from selfsteer.app import options
from selfsteer.app.loading import open_memory
from selfsteer.app.output import literal, print_json, stderr, stdout, table
from selfsteer.errors import MemoryFileError

memory = typer.Typer(no_args_is_help=True, help="Check, tidy, copy and search the memory.")

_WRONG = 1  # exit code of a check that found something


@memory.command()
def check(db: options.Db = None, json_: options.Json = False) -> None:
    """Verify every blob and every reference; altered blobs are put in quarantine."""
    from selfsteer.memory.check import check as find_faults
    from selfsteer.memory.check import quarantine

    with open_memory(db, read_only=True) as opened:
        report = find_faults(opened)
    if json_:
        print_json({**report.model_dump(mode="json"), "sound": not report.faults})
    else:
        console = stdout()
        console.print(f"{report.blobs} blobs, {report.size} bytes: {len(report.faults)} faults")
        if report.faults:
            listing = table(None, "kind", "where", "what is wrong")
            for fault in report.faults:
                listing.add_row(*map(literal, (fault.kind, fault.where, fault.what)))
            console.print(listing)
    if not report.faults:
        return
    if any(fault.artefact_id for fault in report.faults):
        try:
            with open_memory(db) as opened:
                quarantine(opened, report.faults)
        except MemoryFileError as error:  # the faults are told and count all the same
            stderr().print(literal(f"warning: nothing was put in quarantine: {error}"))
    raise typer.Exit(_WRONG)


@memory.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it they are listed.")] = False,
    hours: Annotated[
        float, typer.Option(min=0.0, help="Leave alone what is younger than this.")
    ] = 24.0,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """List or delete the blobs that nothing refers to; vectors always stay."""
    from selfsteer.memory.collect import collect, unreferenced

    grace = timedelta(hours=hours)
    # Read-only at first: what is not there must not be made in order to be tidied.
    with open_memory(db, read_only=True) as opened:
        found = unreferenced(opened, grace)
    if yes and found:
        with open_memory(db) as opened:
            found = collect(opened, grace)
    size = sum(artefact.size for artefact in found)
    if json_:
        rows = [{"id": blob.id, "kind": blob.kind, "bytes": blob.size} for blob in found]
        print_json({"deleted": yes, "bytes": size, "blobs": rows})
        return
    console = stdout()
    if found:
        listing = table(None, "id", "kind", "bytes", "stored", right=("id", "bytes"))
        for blob in found:
            listing.add_row(*map(literal, (blob.id, blob.kind, blob.size, blob.created)))
        console.print(listing)
    done = "deleted" if yes else "to delete; --yes does it"
    console.print(f"{len(found)} blobs, {size} bytes {done}")
