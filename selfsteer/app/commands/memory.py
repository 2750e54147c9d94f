"""`selfsteer memory check|gc|backup|export|import|search`: the upkeep of what is remembered."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from selfsteer.app import options
from selfsteer.app.loading import open_memory
from selfsteer.app.output import literal, print_json, stderr, stdout, table
from selfsteer.errors import MemoryFileError

memory = typer.Typer(no_args_is_help=True, help="Check, tidy, copy and search the memory.")

NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, a new one.")]

_MOST_HOURS = 1_000_000  # a time that a calendar still has
_MOST_HITS = 1_000_000
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
    hours: Annotated[float, typer.Option(help="Leave alone what is younger than this.")] = 24.0,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """List or delete the blobs that nothing refers to; vectors always stay."""
    if not 0 <= hours <= _MOST_HOURS:
        raise MemoryFileError(f"--hours must be from 0 to {_MOST_HOURS}, not {hours:g}.")
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


@memory.command()
def backup(file: NewFile, db: options.Db = None, json_: options.Json = False) -> None:
    """Copy the memory to a new file while it is in use."""
    from selfsteer.app.noting import open_for_files
    from selfsteer.memory.backup import back_up

    with open_for_files(db) as opened:
        size = back_up(opened, file)
    if json_:
        print_json({"path": str(file), "bytes": size})
    else:
        stdout().print(literal(f"{file}: {size} bytes"))


@memory.command()
def export(
    file: NewFile,
    run: Annotated[
        list[str] | None, typer.Option(help="Only this run; may be given again.")
    ] = None,
    vector: Annotated[
        list[str] | None, typer.Option(help="Only this vector; may be given again.")
    ] = None,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Write runs that ended and vectors, with all that they refer to, for another memory."""
    from selfsteer.memory.bundle_writing import write_bundle

    with open_memory(db, read_only=True) as opened:
        bundle = write_bundle(opened, file, run_ids=run or (), vector_ids=vector or ())
    size = file.stat().st_size
    blobs, runs = [one.id for one in bundle.artefacts], [one.run.id for one in bundle.runs]
    if json_:
        print_json({"path": str(file), "bytes": size, "artefacts": blobs, "runs": runs})
    else:
        told = f"{file}: {len(runs)} runs, {len(blobs)} blobs, {size} bytes"
        stdout().print(literal(told))


@memory.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `memory export`.")],
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Take what `memory export` wrote into memory; what is here already is not added again."""
    from selfsteer.memory.bundle_reading import read_bundle

    if not file.is_file():  # said before a new memory is made for nothing
        raise MemoryFileError(f"There is no bundle at {file}.")
    with open_memory(db) as opened:
        added = read_bundle(opened, file)
    if json_:
        print_json(added.model_dump(mode="json"))
    else:
        stdout().print(f"{len(added.runs)} runs and {len(added.artefacts)} blobs added")


@memory.command()
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Words, in any of their forms.")],
    limit: Annotated[int, typer.Option(min=1, max=_MOST_HITS, help="How many at most.")] = 20,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Search goals and reasons of accepted runs, and concepts of vectors."""
    from selfsteer.memory.search import search as find

    with open_memory(db, read_only=True) as opened:
        found = find(opened, text, limit)
    if json_:
        print_json({"found": [hit.model_dump() for hit in found]})
        return
    listing = table(None, "score", "what", "of", "text", right=("score", "of"))
    for hit in found:
        listing.add_row(f"{hit.score:.3g}", *map(literal, (hit.kind, hit.owner, hit.snippet)))
    stdout().print(listing if found else "nothing found")
