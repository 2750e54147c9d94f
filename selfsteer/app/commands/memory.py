"""`selfsteer memory check|gc|backup|export|import|search`: the upkeep of what is remembered."""

from __future__ import annotations

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
