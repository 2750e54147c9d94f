"""Training learns, resumes exactly, and leaves folders that load the ordinary way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, MistralForCausalLM

from selfsteer.errors import StudentError
from selfsteer.pocket import stream as stream_module
from selfsteer.pocket import train, weights
from selfsteer.pocket.checkpoint import save_folder
from selfsteer.pocket.model import build_model
from selfsteer.pocket.stream import Stream
from selfsteer.pocket.tokenizer import train_tokenizer
from selfsteer.pocket.trainer import Settings, Trainer, lr_factor

TOKENIZER = train_tokenizer(["The frog sings.", "Der Frosch singt."] * 4, 300)
SETTINGS = Settings(
    phase="base", tokens=8 * 2 * 64, lr=2e-3, optimiser="muon", warmup=2, rows=2, length=64,
    seed=0, extra_share=0.0, noise=0.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "CHUNK", 6)


def untrained() -> MistralForCausalLM:
    return build_model(len(TOKENIZER), bos=1, end=2, pad=0, seed=0)


def trainer(folder: Path, settings: Settings = SETTINGS) -> Trainer:
    stream = Stream(TOKENIZER, "base", seed=0, rows=settings.rows, length=settings.length)
    return Trainer(untrained(), stream, settings, folder, compile_model=False)


class StopTrainingError(Exception):
    pass


def stop_at(step: int, subject: Trainer) -> None:
    """Train up to `step`, save, and die in the middle of the phase."""

    def report(line: dict[str, float]) -> None:
        if line["step"] == step:
            subject.save()
        if line["step"] > step:
            raise StopTrainingError

    with pytest.raises(StopTrainingError):
        subject.run(report, report_steps=1)


@pytest.mark.parametrize(("optimiser", "noise"), [("muon", 0.0), ("adamw", 0.0), ("muon", 1.0)])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, optimiser: str, noise: float
) -> None:
    settings = replace(SETTINGS, optimiser=optimiser, noise=noise)
    whole = trainer(tmp_path / "whole", settings)
    whole.run(lambda line: None, report_steps=1)
    stop_at(3, trainer(tmp_path / "halves", settings))
    second = trainer(tmp_path / "halves", settings)
    assert second.resume()
    assert second.step == 3
    second.run(lambda line: None, report_steps=1)
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, second.model.get_parameter(name)), name
    logs = [
        [
            (line["step"], line["loss"])
            for line in map(json.loads, (tmp_path / f"{name}.log.jsonl").read_text().splitlines())
        ]
        for name in ("whole", "halves")
    ]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 8


def test_the_loss_falls(tmp_path: Path) -> None:
    losses: list[float] = []
    settings = replace(SETTINGS, tokens=60 * 128)
    trainer(tmp_path / "base", settings).run(lambda line: losses.append(line["loss"]))
    assert losses[-1] < losses[0] - 0.5


def test_other_settings_do_not_resume(tmp_path: Path) -> None:
    trainer(tmp_path / "base").save()
    with pytest.raises(StudentError, match="same flags"):
        trainer(tmp_path / "base", replace(SETTINGS, lr=1e-3)).resume()


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    subject = trainer(tmp_path / "base")
    subject.save()
    subject.state_path.write_bytes(subject.state_path.read_bytes()[:100])
    with pytest.raises(StudentError, match="delete it"):
        trainer(tmp_path / "base").resume()


def test_learning_rate_warms_up_and_ends_low() -> None:
    factors = [lr_factor(step, 100, 10) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[10] == pytest.approx(1.0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0.02 <= factors[-1] < 0.03


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_saved_folder_loads_with_the_ordinary_classes(tmp_path: Path, dtype: torch.dtype) -> None:
    subject = trainer(tmp_path / "base")
    save_folder(tmp_path / "out", subject.model, TOKENIZER, dtype)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.config._attn_implementation != subject.model.config._attn_implementation
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    subject.model.set_attn_implementation("sdpa")
    ids = torch.tensor([tokenizer("The frog sings. Der Frosch singt.").input_ids])
    with torch.no_grad():
        expected, actual = subject.model(input_ids=ids).logits, model(input_ids=ids).logits
    torch.testing.assert_close(
        actual, expected, atol=1e-6 if dtype == torch.float32 else 2e-3, rtol=0
    )
    assert {f.suffix for f in (tmp_path / "out").iterdir()} <= {".json", ".jinja", ".safetensors"}


def test_the_command_trains_every_phase_resumes_and_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "TOKENIZER_SAMPLE", 50)
    monkeypatch.setattr(train, "BUNDLED", tmp_path / "bundled")
    monkeypatch.setattr(weights, "BUNDLED", tmp_path / "bundled")
    command = [
        "--out", str(tmp_path / "out"), "--no-compile", "--rows", "2", "--length", "64",
        "--base-tokens", "256", "--chat-tokens", "256", "--instruct-tokens", "384",
        "--robust-tokens", "256", "--threads", "1", "--export",
    ]  # fmt: skip
    with pytest.raises(StudentError, match="make pocket"):
        weights.weights_path("pocket")
    assert train.main(command) == 0
    assert train.main(command) == 0
    assert torch.tensor(1e-40) * 1 > 0, "training has left this process without small numbers"
    for name in ("pocket", "pocket-base"):
        model = AutoModelForCausalLM.from_pretrained(
            weights.weights_path(name), dtype=torch.float32
        )
        assert 2e6 < model.num_parameters() < 5e6
    base, robust = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "out" / phase)
        for phase in ("base", "robust")
    )
    moved = (robust.model.norm.weight - base.model.norm.weight).abs().max()
    assert 0 < moved < 0.1
    exported = AutoModelForCausalLM.from_pretrained(
        weights.weights_path("pocket"), dtype=torch.float32
    )
    torch.testing.assert_close(
        exported.model.norm.weight, robust.model.norm.weight, atol=1e-3, rtol=0
    )


def test_the_command_wants_the_phase_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["--out", str(tmp_path), "--phase", "instruct", "--threads", "1"]) == 2
    assert "train that phase first" in capsys.readouterr().err


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(StudentError, match="pocket-base"):
        weights.weights_path("rocket")
