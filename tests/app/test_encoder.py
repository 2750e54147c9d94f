"""The sentence encoder that the settings name, from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from selfsteer.agents.loop import run_goal
from selfsteer.app import controllers
from selfsteer.app.commands import doctor, run
from selfsteer.app.report.data import gather
from selfsteer.app.report.page import render
from selfsteer.memory.encoder import SentenceEncoder
from selfsteer.memory.meaning import Meaning
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import Scripted, settings
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence
from tests.memory.encoders import ScriptedEncoder, save_encoder

OTHERWISE = "favour early letters"
EASY = ("--steerability", 0.05, "--coherence", 10, "--broken", 1, "--retention", 0)


@pytest.fixture
def at_hand(talker: Student, few_probes: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student of any name, a controller, and an encoder that takes no loading."""
    encoder = ScriptedEncoder(first_half_alphabet=0.0, favour_early_letters=60.0)
    for module in (run, doctor):
        monkeypatch.setattr(module, "load_student", lambda *_: talker)
    monkeypatch.setitem(controllers.CONTROLLERS, "scripted", lambda *_: Scripted())
    monkeypatch.setattr(SentenceEncoder, "load", lambda self: None)
    monkeypatch.setattr(SentenceEncoder, "__call__", lambda self, texts: encoder(texts))


def ask(cli: Cli, *options: object) -> str | None:
    """The run whose plan was accepted from memory, if there is one."""
    result = cli("run", OTHERWISE, "--controller", "scripted", "--json", *options)
    assert result.exit_code in (0, 1), result.stderr
    recalled: str | None = json.loads(result.stdout)["verdict"].get("recalled")
    return recalled


def test_the_settings_name_the_encoder_and_the_least_cosine(
    cli: Cli, accepted: Run, at_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever is not recalled has to fail: the goal itself would be remembered.
    failing = ("--steerability", 1, "--budget-candidates", 3, "--budget-rounds", 1)
    assert ask(cli, *failing) is None
    monkeypatch.setenv("SELFSTEER_ENCODER", "some/encoder")
    assert ask(cli, *failing, "--no-memory") is None
    monkeypatch.setenv("SELFSTEER_LEAST_COSINE", "0.51")
    assert ask(cli, *failing) is None
    monkeypatch.setenv("SELFSTEER_LEAST_COSINE", "0.49")
    assert ask(cli, *EASY) == accepted.id


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("ENCODER", "./none", "There is no folder ./none"),
        ("ENCODER", "", "SELFSTEER_ENCODER is empty"),
        ("LEAST_COSINE", "much", "SELFSTEER_LEAST_COSINE: input should be a valid number"),
        ("LEAST_COSINE", "1.5", "SELFSTEER_LEAST_COSINE: input should be less"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_a_run_begins(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, part: str
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", sys)  # there, and never used
    monkeypatch.setenv(f"SELFSTEER_{name}", value)
    result = cli("run", OTHERWISE)
    assert result.exit_code == 2
    assert part in one_sentence(result.stderr)
    assert not (tmp_path / "selfsteer.db").exists()


def test_without_the_extra_a_named_encoder_is_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setenv("SELFSTEER_ENCODER", "some/encoder")
    result = cli("run", OTHERWISE)
    assert result.exit_code == 2
    assert "pip install 'selfsteer[embeddings]'" in one_sentence(result.stderr)


def test_the_page_says_how_a_plan_was_found(memory: Memory, talker: Student, accepted: Run) -> None:
    meaning = Meaning(ScriptedEncoder(first_half_alphabet=0.0, favour_early_letters=60.0))
    ended = run_goal(talker, Scripted(), memory, settings(goal=OTHERWISE), meaning=meaning)
    page = " ".join(render(gather(memory, ended.id)).split())
    assert f"“{accepted.goal}”, alike in meaning (cosine 0.50) (run {accepted.id};" in page


def test_doctor_lets_the_encoder_read(
    cli: Cli, talker: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "load_student", lambda *_: talker)
    saved = save_encoder(tmp_path / "model")
    monkeypatch.setenv("SELFSTEER_ENCODER", str(saved))
    assert f"ok       encoder: {saved}, points of 16 numbers" in cli("doctor").stdout
    (saved / "model.safetensors").unlink()
    assert "problem  encoder:" in cli("doctor").stdout
