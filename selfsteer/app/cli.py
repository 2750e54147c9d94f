"""The command line: `selfsteer COMMAND`. Mistakes end in one sentence on stderr and exit code 2."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from selfsteer import __version__
from selfsteer.app.allocator import keep_freed_memory
from selfsteer.app.commands import (
    approve,
    chat,
    compose,
    demo,
    doctor,
    events,
    evolve,
    experiment,
    generate,
    history,
    lineage,
    memory,
    resume,
    run,
    user_vectors,
    users,
    vectors,
)
from selfsteer.app.output import literal, plain_warnings, stderr
from selfsteer.errors import SelfsteerError

MISTAKE, STOPPED = 2, 130


class Commands(TyperGroup):
    """A group that puts into words what ends a command before its time."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; tracebacks are left to bugs."""
        try:
            with plain_warnings():
                return super().invoke(ctx)
        except SelfsteerError as error:
            stderr().print(literal(f"error: {error}"))
            raise typer.Exit(MISTAKE) from error
        except KeyboardInterrupt:
            stderr().print("stopped")
            raise typer.Exit(STOPPED) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Steer a language model from the inside, towards a goal stated in a sentence.",
)


def _version(asked: bool) -> None:
    if asked:
        print(f"selfsteer {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that come before the command."""


app.command()(demo.demo)
app.command()(run.run)
app.command()(resume.resume)
app.command()(evolve.evolve)
app.command()(approve.approve)
app.command()(history.runs)
app.command()(history.report)
app.command()(events.events)
app.command()(vectors.vectors)
vectors.vector.command()(compose.compose)
vectors.vector.command()(lineage.tree)
vectors.vector.command()(lineage.explain)
app.add_typer(vectors.vector, name="vector")
app.add_typer(memory.memory, name="memory")
users.user.command()(user_vectors.derive)
users.user.command()(user_vectors.review)
users.user.command()(user_vectors.predict)
users.user.command()(user_vectors.explain)
app.add_typer(users.user, name="user")
app.add_typer(experiment.experiment, name="experiment")
app.command()(generate.generate)
app.command()(chat.chat)
app.command()(doctor.doctor)


def main() -> None:
    """The entry point of the installed command."""
    keep_freed_memory()
    app()
