"""Mistakes end in one sentence on stderr and exit code 2, before anything is half done."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from selfsteer.app.commands import generate, run
from selfsteer.memory.migrations import SCHEMA_VERSION
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence
from tests.steering.students import build_student, build_vector


@pytest.fixture
def at_hand(talker: Student, monkeypatch: pytest.MonkeyPatch) -> Student:
    """A student that the commands find under any name."""
    for module in (generate, run):
        monkeypatch.setattr(module, "load_student", lambda *_: talker)
    return talker


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("run", ""), "GOAL is empty"),
        (("run", "  "), "GOAL: a goal needs a sentence"),
        (("run", "x" * 3000), "GOAL: string should have at most"),
        (("run", "x", "--budget-rounds", 0), "--budget-rounds: input should be greater"),
        (("run", "x", "--budget-candidates", 0), "--budget-candidates"),
        (("run", "x", "--budget-tokens", -5), "--budget-tokens"),
        (("run", "x", "--budget-minutes", 0), "--budget-minutes"),
        (("run", "x", "--budget-minutes", "nan"), "--budget-minutes"),
        (("run", "x", "--budget-minutes", "inf"), "--budget-minutes: input should be a finite"),
        (("run", "x", "--budget-money", "inf"), "--budget-money: input should be a finite"),
        (("memory", "gc", "--hours", "inf"), "--hours must be from 0 to 1000000, not inf"),
        (("memory", "gc", "--hours", "1e8"), "--hours must be from 0 to 1000000, not 1e+08"),
        (("memory", "gc", "--hours", "nan"), "--hours must be from 0 to 1000000, not nan"),
        (("memory", "gc", "--hours", -1), "--hours must be from 0 to 1000000, not -1"),
        (("run", "x", "--steerability", 1.5), "--steerability: input should be less"),
        (("run", "x", "--coherence", 0.5), "--coherence"),
        (("run", "x", "--broken", 2), "--broken"),
        (("run", "x", "--retention", -1), "--retention"),
        (("run", "x", "--strengths", "3"), "--strengths must be LOW:HIGH"),
        (("run", "x", "--strengths", "2:1"), "--strengths must be LOW:HIGH"),
        (("run", "x", "--strengths", "0:inf"), "--strengths must be LOW:HIGH"),
        (("run", "x", "--controller", "oracle"), "Unknown controller 'oracle'"),
        (("run", "x", "--dataset", "none.jsonl"), "Cannot read the dataset none.jsonl"),
        (("run", "x", "--capability", "none.jsonl"), "Cannot read the capability questions"),
        (("run", "x", "--db", "none/x.db"), "folder none for the memory does not exist"),
        (("run", "x", "--db", "."), "is a folder"),
        (("run", "x", "--student", "./none"), "There is no folder ./none"),
        (("run", "x", "--student", "none/at-all"), "Unknown student 'none/at-all'"),
        (("run", "x", "--device", "abacus"), "device 'abacus' cannot be used"),
        (("run", "x", "--student", "none/x", "--dtype", "float1"), "Unknown dtype 'float1'"),
        (("runs",), "There is no memory at selfsteer.db"),
        (("vectors",), "There is no memory at selfsteer.db"),
        (("report", "beef"), "There is no memory at selfsteer.db"),
        (("resume", "beef"), "There is no memory at selfsteer.db"),
        (("vector", "show", "beef"), "neither a vector file nor the id of a vector"),
        (("vector", "show", "0123456789abcdef"), "There is no memory at selfsteer.db"),
        (("generate", " "), "The prompt is empty"),
        (("generate", "\udcff"), "is not UTF-8"),
        (("generate", "x", "--system", "a\udcff"), "is not UTF-8"),
        (("chat", "--vectors", "x", "--system", "\udcff"), "system message is not UTF-8"),
        (("user", "predict", "ann", "--profile", "\udcff"), "--profile is not UTF-8"),
    ],
)
def test_mistakes(cli: Cli, options: tuple[object, ...], part: str) -> None:
    result = cli(*options)
    assert result.exit_code == 2
    assert part in one_sentence(result.stderr)
    assert result.stdout == ""


def test_options_that_do_not_exist_exit_with_2_as_well(cli: Cli) -> None:
    assert cli("run", "x", "--no-such-option").exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("run", "x", "--seed", 2**63),
        ("run", "x", "--seed", -1),
        ("demo", "--seed", 2**63),
        ("memory", "search", "x", "--limit", 2**63),
    ],
)
def test_whole_numbers_out_of_range_exit_with_2_before_anything_is_done(
    cli: Cli, tmp_path: Path, words: tuple[object, ...]
) -> None:
    result = cli(*words)
    assert (result.exit_code, f"Invalid value for '{words[-2]}'" in result.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("resume", "beef"), ("approve", "beef"), ("report", "beef")])
def test_a_run_that_is_looked_for_elsewhere_makes_no_memory(
    cli: Cli, tmp_path: Path, command: tuple[str, ...]
) -> None:
    assert "There is no memory" in one_sentence(cli(*command).stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_weights(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    result = cli("run", "x", "--student", tmp_path)
    assert result.exit_code == 2
    assert "holds no weights" in one_sentence(result.stderr)


@pytest.mark.parametrize("command", [("runs",), ("run", "x"), ("resume", "r"), ("report", "r")])
def test_a_memory_of_a_newer_version_is_left_alone(
    cli: Cli, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "selfsteer.db"
    Memory.open(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    result = cli(*command)
    assert result.exit_code == 2
    assert "newer selfsteer" in one_sentence(result.stderr)
    assert path.read_bytes() == before


def test_a_corrupt_memory(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "selfsteer.db").write_bytes(b"no database at all" * 100)
    result = cli("run", "x")
    assert result.exit_code == 2
    assert "damaged" in one_sentence(result.stderr)


def test_corrupt_checkpoints(
    cli: Cli, tmp_path: Path, at_hand: Student, few_probes: object
) -> None:
    (tmp_path / "selfsteer.db.checkpoints").write_bytes(b"no database at all" * 100)
    result = cli("run", "x", "--controller", "search")
    assert result.exit_code == 2
    assert "error: The checkpoints selfsteer.db.checkpoints cannot be used" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_corrupt_vector_file(cli: Cli, tmp_path: Path) -> None:
    vector = build_vector(build_student())
    vector.save(tmp_path / "v.safetensors")
    whole = (tmp_path / "v.safetensors").read_bytes()
    (tmp_path / "v.safetensors").write_bytes(whole[:-9])
    for words in (
        ("vector", "show", "v.safetensors"),
        ("generate", "x", "--vector", "v.safetensors"),
    ):
        result = cli(*words)
        assert result.exit_code == 2
        assert "v.safetensors is truncated or damaged" in one_sentence(result.stderr)


def test_a_vector_with_infinite_values(cli: Cli, tmp_path: Path) -> None:
    vector = build_vector(build_student())
    vector.directions[0][0] = float("inf")
    vector.save(tmp_path / "v.safetensors")
    result = cli("vector", "show", "v.safetensors")
    assert result.exit_code == 2
    assert "NaN or infinite" in one_sentence(result.stderr)


def test_a_vector_of_another_student(cli: Cli, tmp_path: Path, at_hand: Student) -> None:
    build_vector(build_student("mistral")).save(tmp_path / "v.safetensors")
    words = ("generate", "x", "--vector", "v.safetensors", "--layer", 0, "--strength", 1)
    result = cli(*words)
    assert result.exit_code == 2
    assert "was extracted from student" in one_sentence(result.stderr)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--layer", 9), "no direction for layer 9"),
        (("--strength", "nan"), "not finite"),
        (("--operator", "shout"), "Unknown operator 'shout'"),
        (("--selector", "everywhere"), "everywhere"),
        (("--selector", ""), "Selector '' cannot be read"),
        (("--max-tokens", 0), "max_new_tokens is 0"),
        (("--temperature", -1), "temperature is -1.0"),
    ],
)
def test_a_plan_that_makes_no_sense(
    cli: Cli, tmp_path: Path, at_hand: Student, options: tuple[object, ...], part: str
) -> None:
    build_vector(at_hand).save(tmp_path / "v.safetensors")
    sensible = ("generate", "x", "--vector", "v.safetensors", "--layer", 0, "--strength", 1)
    result = cli(*sensible, *options)
    assert result.exit_code == 2
    assert part in one_sentence(result.stderr)


def test_the_controller_self_takes_no_dataset(cli: Cli, tmp_path: Path, at_hand: Student) -> None:
    (tmp_path / "d.jsonl").write_text('{"positive": "a", "negative": "b"}\n')
    result = cli("run", "x", "--dataset", "d.jsonl")
    assert result.exit_code == 2
    assert "The controller self makes its own data" in one_sentence(result.stderr)
