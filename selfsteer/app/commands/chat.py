"""`selfsteer chat`: talk with a student whose steering changes between turns."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfsteer.app import options
from selfsteer.app.edits import steering_edit
from selfsteer.app.loading import load_student
from selfsteer.app.output import is_text, literal, stderr, stdout
from selfsteer.app.parsing import parse_strengths
from selfsteer.errors import ControllerError, SelfsteerError

if TYPE_CHECKING:
    from selfsteer.agents.active_vectors import Active
    from selfsteer.agents.self_steering import CallRecord, Conversation
    from selfsteer.agents.steer_choosers import Chooser
    from selfsteer.agents.steer_tool import Call, Steerable

HELP = "/steer NAME STRENGTH [next], /revert [NAME], /vectors, /quit"
_LEAST = 0.5  # share of the strength that a vector was accepted with


def chat(
    vectors: Annotated[
        str | None,
        typer.Option(
            metavar="[NAME=]ID|FILE,...",
            help="The vectors that may steer. A name is one word; without one, what the vector "
            "steers towards where that is a word, else its id.",
            show_default=False,
        ),
    ] = None,
    user: options.ServedUser = None,
    self_steer: Annotated[
        bool, typer.Option("--self-steer", help="The student sets its steering before each reply.")
    ] = False,
    chooser: Annotated[
        str,
        typer.Option(
            help="How it does: options (the likeliest of all possible calls) or grammar (it "
            "writes a call; needs the extra `grammar`)."
        ),
    ] = "options",
    strengths: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH",
            help="Strengths that any vector may have. Default: from half of what it was accepted "
            "with up to that.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(
            help="Where to steer. Default: where each vector was accepted.", show_default=False
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            help="How strongly at most. Default: as each vector was accepted.", show_default=False
        ),
    ] = None,
    student: options.StudentName = "pocket",
    system: Annotated[str | None, typer.Option(help="A system message.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Length limit of each reply.")] = 96,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.8,
    seed: options.Seed = 0,
    db: options.Db = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a turn, each on its own line.")
    ] = False,
) -> None:
    """Talk with a student, line by line; a line that begins with / steers (try /help)."""
    if not is_text(system or ""):
        raise SelfsteerError("The system message is not UTF-8; write it in UTF-8.")
    bounds = None if strengths is None else parse_strengths(strengths)
    decider = _chooser(chooser) if self_steer else None
    if vectors is None and (user is None or self_steer):
        raise SelfsteerError("--vectors is missing; name the vectors that may steer.")
    from selfsteer.agents.self_steering import Conversation
    from selfsteer.app.serving import plan_for_user

    words = () if vectors is None else vectors.split(",")
    allowed = [_steerable(word, db, layer, strength, bounds) for word in words]
    model = load_student(student, device, dtype)
    talk = Conversation(
        model,
        allowed,
        always=None if user is None else plan_for_user(model, user, db),
        chooser=decider,
        system=system,
        max_new_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
    )
    if user is not None:
        stderr().print(literal(f"the vector of user {user} steers every reply"))
    for line in _lines():
        if line == "/quit":
            break
        if line.startswith("/"):
            _command(talk, allowed, line[1:].split())
        elif json_:
            print(
                json.dumps(talk.say(line).model_dump(mode="json"), ensure_ascii=False), flush=True
            )
        else:
            _turn(talk, line)


def _lines() -> Iterator[str]:
    """What the person types or pipes in, without empty lines."""
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _turn(talk: Conversation, text: str) -> None:
    """A turn in words: the student's call, what is active, the reply."""
    record = talk.choose(text)
    if record is not None:
        stdout().print(literal(f"[call: {record.asked}{_refusal(record)}]"))
    stdout().print(literal(f"[{_told(talk.active)}]"))
    stdout().print(literal(talk.reply(text).reply))
    sys.stdout.flush()


def _command(talk: Conversation, allowed: Sequence[Steerable], words: Sequence[str]) -> None:
    """A line that steers; what it says goes to stderr, so that a pipe gets replies alone."""
    if words == ["vectors"]:
        for one in allowed:
            concept = one.edit.vector.concept
            stderr().print(literal(f"{one.name}: {one.low:g} to {one.high:g} ({concept})"))
        return
    try:
        record = talk.call(_read(words))
        stderr().print(literal(f"{_told(talk.active)}{_refusal(record)}"))
    except ControllerError as error:
        stderr().print(literal(error))


def _read(words: Sequence[str]) -> Call:
    """The call that a line asks for."""
    from selfsteer.agents.steer_tool import Revert, Steer

    match words:
        case ["steer", name, amount, *rest] if rest in ([], ["next"]):
            try:
                strength = float(amount)
                return Steer(
                    vector=name, strength=strength, scope="next" if rest else "until_reverted"
                )
            except ValueError as error:
                raise ControllerError(f"{amount!r} is no strength; give a number.") from error
        case ["revert"]:
            return Revert()
        case ["revert", name]:
            return Revert(vector=name)
    raise ControllerError(f"The lines that steer are {HELP}.")


def _told(active: Sequence[Active]) -> str:
    steered = (
        f"{one.vector} {one.strength:g}{' (next reply)' if one.scope == 'next' else ''}"
        for one in active
    )
    return f"steered by: {', '.join(steered) or 'nothing'}"


def _refusal(record: CallRecord) -> str:
    return f"; refused: {record.reason}" if record.outcome == "refused" else ""


def _chooser(name: str) -> Chooser:
    if name not in ("options", "grammar"):
        raise ControllerError(f"Unknown chooser {name!r}; it is options or grammar.")
    from selfsteer.agents.steer_choosers import GrammarChooser, OptionChooser

    return OptionChooser() if name == "options" else GrammarChooser()


def _steerable(
    word: str,
    db: Path | None,
    layer: int | None,
    strength: float | None,
    bounds: tuple[float, float] | None,
) -> Steerable:
    """A vector of `--vectors` under its name."""
    from selfsteer.agents.steer_tool import Steerable, is_name

    name, _, source = ("", "", word) if Path(word).is_file() else word.rpartition("=")
    if not source:
        raise SelfsteerError(f"--vectors {word!r} names no vector; give its id or file.")
    edit = steering_edit(source, db, layer, strength)
    # Nobody types more than three digits.
    known = (float(f"{part:.3g}") for part in (edit.strength * _LEAST, edit.strength))
    low, high = bounds or sorted(known)
    concept = edit.vector.concept
    return Steerable(name or (concept if is_name(concept) else edit.vector.id), edit, low, high)
