"""`chat`: line by line, by a person or by the student itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from selfsteer.agents.steer_tool import read_call
from selfsteer.app.cli import app
from selfsteer.app.commands import chat as module
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt
from tests.agents.steerables import build_reader
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence
from tests.steering.students import build_vector

PLACE = ("--layer", "1", "--strength", "0.8", "--max-tokens", "12")


@pytest.fixture(scope="module")
def reader() -> Student:
    return build_reader()


@pytest.fixture(autouse=True)
def _at_hand(reader: Student, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The student, in an empty folder with two vectors; the second one's concept is a word."""
    monkeypatch.setattr(module, "load_student", lambda *_: reader)
    build_vector(reader).save("a")
    replace(build_vector(reader, seed=1), concept="dry").save("b")


def chat(lines: str, *words: str) -> Result:
    options = words if "--vectors" in words else ("--vectors", "glad=a,b", *PLACE, *words)
    return CliRunner().invoke(app, ["chat", *options], input=lines)


def turns(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_person_steers_between_turns(reader: Student) -> None:
    told = turns(
        chat(
            "one\n/steer glad 0.5\n\n/steer dry 0.8 next\ntwo\nthree\n/revert\nfour\n/quit\nfive\n",
            "--json",
        )
    )
    assert [turn["user"] for turn in told] == ["one", "two", "three", "four"]
    assert [[one["vector"] for one in turn["active"]] for turn in told] == [
        [],
        ["glad", "dry"],
        ["glad"],
        [],
    ]
    edits = told[1]["plan"]["edits"]
    assert [(edit["layers"], edit["strength"]) for edit in edits] == [([1], 0.5), ([1], 0.8)]
    (expected,) = generate(
        reader, [Prompt.chat("one")], Plan.none(), max_new_tokens=12, temperature=0.8
    )
    assert told[0]["reply"] == expected.text


def test_words_show_what_is_active_before_each_reply() -> None:
    result = chat("one\n/steer dry 0.6 next\ntwo\n", "--temperature", "0")
    shown = [line for line in result.stdout.splitlines() if line.startswith("[steered by")]
    assert shown == ["[steered by: nothing]", "[steered by: dry 0.6 (next reply)]"]
    assert "steered by: dry 0.6 (next reply)" in result.stderr


def test_mistakes_of_a_person_are_told_and_the_talk_goes_on() -> None:
    lines = "/steer glad 0.9\n/steer sad 0.5\n/steer glad much\n/steer glad nan\n/dance\none\n"
    result = chat(f"/vectors\n{lines}", "--json")
    (turn,) = turns(result)
    assert [call["outcome"] for call in turn["calls"]] == ["refused", "refused"]
    assert turn["active"] == []
    for part in (
        "glad: 0.4 to 0.8 (random 0)",
        "Strength 0.9 is out of bounds: glad may have 0.4 to 0.8.",
        "'sad' is not one of the vectors allowed here: glad, dry.",
        "'much' is no strength; give a number.",
        "'nan' is no strength; give a number.",
        "The lines that steer are /steer NAME STRENGTH [next], /revert [NAME], /vectors, /quit.",
    ):
        assert part in result.stderr


@pytest.mark.parametrize("chooser", ["options", "grammar"])
def test_the_student_steers_itself(chooser: str) -> None:
    told = turns(chat("one\ntwo\n", "--self-steer", "--chooser", chooser, "--json"))
    for turn in told:
        (call,) = turn["calls"]
        assert (call["by"], call["outcome"]) == ("student", "done")
        assert read_call(call["asked"]).model_dump(exclude_none=True) == {
            name: value for name, value in call["call"].items() if value is not None
        }
    spoken = chat("one\n", "--self-steer", "--chooser", chooser).stdout.splitlines()
    assert spoken[0] == f"[call: {told[0]['calls'][0]['asked']}]"
    assert spoken[1].startswith("[steered by: ")


def test_bytes_that_are_no_text_are_read_as_they_can_be() -> None:
    result = CliRunner().invoke(
        app, ["chat", "--vectors", "a", *PLACE, "--json"], input=b"caf\xe9\n"
    )
    (turn,) = turns(result)
    assert turn["user"] == "caf\N{REPLACEMENT CHARACTER}"


def test_an_accepted_vector_steers_as_it_was_accepted(
    accepted: Run, memory: Memory, talker: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "load_student", lambda *_: talker)
    verdict = accepted.verdict or {}
    high = float(f"{verdict['strength']:.3g}")
    words = ("--vectors", f"best={verdict['vector_id']}", "--json", "--max-tokens", "12")
    (turn,) = turns(chat(f"/steer best {high}\none\n", *words))
    (remembered,) = memory.remembered()
    (edit,) = remembered.plan["edits"]
    assert turn["plan"]["edits"] == [{**edit, "strength": high}]
    lower = chat(f"/steer best {high / 3}\n", *words)
    assert "is out of bounds: best may have" in lower.stderr


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--vectors", "x=a"), "--layer and --strength are needed"),
        (("--vectors", "none=a", *PLACE), "'none' cannot name a vector"),
        (("--vectors", "x=a,x=b", *PLACE), "Two vectors are named x"),
        (("--vectors", "a,", *PLACE), "--vectors '' names no vector"),
        (("--vectors", "x=", *PLACE), "--vectors 'x=' names no vector"),
        (("--vectors", "beef", *PLACE), "neither a vector file nor the id"),
        (("--self-steer", "--chooser", "dice"), "Unknown chooser 'dice'"),
        (("--strengths", "3"), "--strengths must be LOW:HIGH"),
        (("--max-tokens", "0"), "max_new_tokens is 0"),
    ],
)
def test_what_cannot_be_started(words: tuple[str, ...], part: str) -> None:
    result = chat("one\n", *words)
    assert result.exit_code == 2
    assert part in one_sentence(result.stderr)
