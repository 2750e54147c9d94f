"""What `from_pretrained` is told, which models are refused, and vision-language models."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import BertConfig, T5Config
from transformers.utils import is_accelerate_available

from selfsteer.errors import StudentError
from selfsteer.steering import loading
from selfsteer.steering.model import Student
from tests.steering.families import family_student
from tests.steering.students import BLOCKS, WIDTH, build_model, build_student, build_tokenizer


def save(student: Student, folder: Path) -> Path:
    student.model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(build_student("llama"), tmp_path_factory.mktemp("llama"))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments with which the model's `from_pretrained` was called, on a machine that has every
    device; the model may not move."""
    found: dict[str, Any] = {}

    def from_pretrained(place: str, **options: Any) -> Any:
        found.update(options, place=place)
        model = build_model("llama")

        def refuse(*_: Any) -> None:
            raise AssertionError("a model that was placed while it loaded is moved")

        model.to = refuse
        return model

    stub = SimpleNamespace(from_pretrained=from_pretrained)
    monkeypatch.setattr(loading, "AutoModelForCausalLM", stub)
    monkeypatch.setattr(loading, "_check_usable", lambda *_: None)
    return found


def test_quantisation_is_handed_through(saved: Path, told: dict[str, Any]) -> None:
    config = object()
    Student.load(saved, dtype="bfloat16", quantization_config=config)
    assert told["quantization_config"] is config
    assert told["dtype"] == torch.bfloat16
    assert told["use_safetensors"] is True
    assert told["trust_remote_code"] is False
    assert "device_map" not in told


def test_a_quantised_model_is_placed_while_it_loads(saved: Path, told: dict[str, Any]) -> None:
    Student.load(saved, device="cuda:1", quantization_config=object())
    assert told["device_map"] == {"": "cuda:1"}


def test_a_stored_quantisation_counts_too(
    saved: Path, told: dict[str, Any], tmp_path: Path
) -> None:
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((saved / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    Student.load(tmp_path, device="cuda")
    assert told["device_map"] == {"": "cuda"}
    assert "quantization_config" not in told  # it is in the folder


@pytest.mark.parametrize("device_map", ["auto", {"model.embed_tokens": 0, "model.layers.0": 1}])
def test_a_device_map_is_handed_through(saved: Path, told: dict[str, Any], device_map: Any) -> None:
    Student.load(saved, device_map=device_map)
    assert told["device_map"] == device_map


@pytest.mark.skipif(is_accelerate_available(), reason="accelerate is installed")
def test_a_device_map_without_accelerate(saved: Path) -> None:
    with pytest.raises(StudentError, match=r"could not be loaded .*requires `accelerate`"):
        Student.load(saved, device_map="auto")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"hidden_size": "abc"}, "Field 'hidden_size' expected int, got str"),
        ({"dtype": "abc"}, "has no attribute 'abc'"),
        ({"num_attention_heads": 0}, "by zero"),
    ],
)
def test_a_config_that_makes_no_sense(
    saved: Path, tmp_path: Path, entry: dict[str, Any], reason: str
) -> None:
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((saved / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | entry))
    with pytest.raises(StudentError, match=rf"could not be loaded \(.*{reason}.*\)\.$"):
        Student.load(tmp_path)


def without_a_device(*_: Any, **__: Any) -> Any:
    """What a build without CUDA does."""
    raise AssertionError("Torch not compiled with CUDA enabled")


@pytest.mark.parametrize("device", ["abacus", "cuda", ""])
def test_a_device_that_is_not_there_is_refused_before_the_hub_is_asked(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "hub_problem", lambda _: pytest.fail("the hub was asked"))
    monkeypatch.setattr(torch.cuda, "_lazy_init", without_a_device)
    with pytest.raises(StudentError, match=rf"^The device '{device}' cannot be used \(.*; cpu al"):
        Student.load("org/model", device=device)


def test_mps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By whatever way a student gets there; no machine of ours has it."""
    reason = r"cannot run on mps, which has no float64; .*\.$"
    with pytest.raises(StudentError, match=f"^pocket {reason}"):
        Student.load("pocket", device="mps")
    model = build_model("llama")
    places = [SimpleNamespace(device=torch.device(name)) for name in ("cpu", "mps")]
    monkeypatch.setattr(model, "parameters", lambda: iter(places))
    with pytest.raises(StudentError, match=f"^mapped {reason}"):
        Student.wrap(model, build_tokenizer(), "mapped")


@pytest.fixture
def hub(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that has a model of the name org/model."""
    source = loading._Source(str(saved), is_local=False)
    monkeypatch.setattr(loading, "_source", lambda _: source)
    monkeypatch.setattr(loading, "hub_problem", lambda _: "")
    return saved


@pytest.mark.parametrize("problem", ["", "no network"])
@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), ImportError("needs a quantiser"), KeyError(1)],
    ids=["memory", "package", "key"],
)
def test_a_model_of_the_hub_that_does_not_load_is_not_unknown(
    hub: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str
) -> None:
    """Nor is one that was fetched before, while the hub cannot be reached."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    stub = SimpleNamespace(from_pretrained=refuse)
    monkeypatch.setattr(loading, "AutoModelForCausalLM", stub)
    monkeypatch.setattr(loading, "hub_problem", lambda _: problem)
    with pytest.raises(StudentError) as caught:
        Student.load("org/model")
    assert str(caught.value) == f"The model org/model could not be loaded ({error})."


def test_a_model_of_the_hub_that_lacks_files_is_not_unknown(hub: Path, tmp_path: Path) -> None:
    (hub / "model.safetensors").rename(tmp_path / "away")
    try:
        with pytest.raises(StudentError, match=r"^The model org/model could not be loaded .*safet"):
            Student.load("org/model")
    finally:
        (tmp_path / "away").rename(hub / "model.safetensors")


@pytest.mark.parametrize(("problem", "local"), [("no network", False), ("", True)])
def test_a_name_whose_files_are_nowhere_is_unknown(
    monkeypatch: pytest.MonkeyPatch, problem: str, local: bool
) -> None:
    monkeypatch.setattr(loading, "hub_problem", lambda _: problem)
    with pytest.raises(StudentError, match=rf"^Unknown student 'org/model': .*\(.*{problem}.*\)"):
        Student.load("org/model", local_files_only=local)


def test_weights_left_elsewhere_are_refused() -> None:
    model = build_model("llama")
    model.model.layers[1].to("meta")
    with pytest.raises(StudentError, match=r"not all on a device \(model\.layers\.1.* offloaded"):
        Student.wrap(model, build_tokenizer(), "offloaded")


def test_blocks_may_be_named(saved: Path) -> None:
    student = Student.load(saved, layers="model.layers")
    assert student.layers == tuple(student.model.model.layers)
    with pytest.raises(StudentError, match=r"has no module 'model\.blocks'"):
        Student.load(saved, layers="model.blocks")


def test_vision_language_models_load_as_their_text_tower(tmp_path: Path) -> None:
    student = family_student("llava")
    loaded = Student.load(save(student, tmp_path))
    assert type(loaded.model) is type(student.model)
    assert loaded.layers == tuple(loaded.model.model.language_model.layers)
    assert (loaded.n_layers, loaded.d_model) == (BLOCKS, WIDTH)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (T5Config(num_layers=1), "is an encoder-decoder model .t5."),
        (BertConfig(num_hidden_layers=1), "reads text in both directions"),
    ],
)
def test_other_kinds_of_models_are_refused(config: Any, reason: str, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoModelForCausalLM

    config.vocab_size, config.hidden_size, config.num_attention_heads = 300, WIDTH, 2
    kind = AutoModel if config.is_encoder_decoder else AutoModelForCausalLM
    kind.from_config(config).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(StudentError, match=reason):
        Student.load(tmp_path)


def test_a_model_without_a_language_model_is_refused(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    (tmp_path / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes())
    with pytest.raises(StudentError, match="type 'vit', of which transformers has no causal"):
        Student.load(tmp_path)


def test_an_encoder_decoder_in_memory_is_refused() -> None:
    model = build_model("llama")
    model.config.is_encoder_decoder = True
    with pytest.raises(StudentError, match=r"is an encoder-decoder model .LlamaForCausalLM."):
        Student.wrap(model, build_tokenizer(), "both")


def test_code_that_comes_with_a_model_is_never_run(saved: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((saved / "config.json").read_text())
    config["model_type"] = "odd"
    config["auto_map"] = {"AutoConfig": "odd.Odd", "AutoModelForCausalLM": "odd.Odd"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "odd.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Odd: ...\n")
    with pytest.raises(StudentError, match="could not be loaded"):
        Student.load(tmp_path)
    assert not marker.exists()
