"""Student: loading, refusing, finding blocks, fingerprints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor

from selfsteer.errors import StudentError
from selfsteer.steering.model import Student, find_layers
from tests.steering.families import family_student
from tests.steering.students import (
    BLOCKS,
    WIDTH,
    WINDOW,
    build_model,
    build_student,
    build_tokenizer,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    student = build_student("llama")
    student.model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)
    return folder


def test_what_a_student_knows(student: Student) -> None:
    assert student.n_layers == len(student.layers) == BLOCKS
    assert student.d_model == WIDTH
    assert student.dtype == torch.float32
    assert student.device == torch.device("cpu")
    assert student.has_chat_template
    assert student.context_length == 256
    assert student.embedding(torch.tensor([[1, 2]])).shape == (1, 2, WIDTH)


@pytest.mark.parametrize(
    ("family", "reach"), [("mistral", BLOCKS * (WINDOW - 1) + 1), ("llama", None), ("gpt2", None)]
)
def test_what_is_out_of_reach_cannot_matter(family: str, reach: int | None) -> None:
    student = build_student(family)
    assert student.reach == reach
    ids = torch.arange(100)[None] % 90 + 20

    def last(back: int) -> torch.Tensor:
        """What the last token is told when the one so far back is another."""
        changed = ids.clone()
        changed[0, -1 - back] += 100
        return student.model(changed).logits[0, -1]

    plain = student.model(ids).logits[0, -1]
    within = BLOCKS * (WINDOW - 1)
    assert not torch.equal(last(within), plain)
    assert torch.equal(last(within + 1), plain) == (reach is not None)


def test_a_window_at_some_blocks_alone_limits_nothing() -> None:
    student = build_student("mistral")
    student.model.config.layer_types = ["sliding_attention", "full_attention"]
    assert student.reach is None


def test_a_student_is_frozen_and_in_evaluation_mode(student: Student) -> None:
    assert not student.model.training
    assert not any(p.requires_grad for p in student.model.parameters())


def test_a_folder_loads_as_what_was_saved(saved: Path) -> None:
    loaded = Student.load(saved)
    assert loaded.fingerprint == build_student("llama").fingerprint
    assert loaded.has_chat_template


def test_dtype_is_taken(saved: Path) -> None:
    assert Student.load(saved, dtype="bfloat16").dtype == torch.bfloat16
    with pytest.raises(StudentError, match="Unknown dtype 'float7'"):
        Student.load(saved, dtype="float7")


def test_fingerprint_follows_weights_and_config() -> None:
    base = build_student("llama")
    assert base.fingerprint == build_student("llama").fingerprint
    assert base.fingerprint != build_student("mistral").fingerprint
    assert base.fingerprint != build_student("llama", rms_norm_eps=1e-3).fingerprint
    changed = build_model("llama")
    with torch.no_grad():
        changed.model.layers[1].mlp.up_proj.weight.mul_(1.5)
    assert Student.wrap(changed, build_tokenizer(), "changed").fingerprint != base.fingerprint


def test_fingerprint_reads_what_quantised_weights_are_made_of() -> None:
    """Such a weight is several tensors in the guise of one, and cannot be read as one."""

    def fingerprint(scale: float) -> str:
        model = build_model("llama")
        whole = torch.arange(32.0 * 48).view(48, 32)
        made = TwoTensor(whole, whole * scale)
        model.model.layers[1].mlp.up_proj.weight = nn.Parameter(made, requires_grad=False)
        return Student.wrap(model, build_tokenizer(), "quantised").fingerprint

    assert fingerprint(1.0) == fingerprint(1.0)
    assert fingerprint(1.0) != fingerprint(0.5)


def test_fingerprint_is_not_of_how_the_towers_were_loaded(tmp_path: Path) -> None:
    student = family_student("llava")
    student.model.save_pretrained(tmp_path)
    student.tokenizer.save_pretrained(tmp_path)
    assert Student.load(tmp_path).fingerprint == student.fingerprint


@pytest.mark.parametrize("name", ["no-such-student", "nobody/no-such-student", "../no/such/folder"])
def test_unknown_student(name: str) -> None:
    with pytest.raises(StudentError, match=r"^(Unknown student|There is no folder)"):
        Student.load(name)


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=r"holds no config\.json"):
        Student.load(tmp_path)


def test_folder_without_weights(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((saved / "config.json").read_bytes())
    with pytest.raises(StudentError, match="holds no weights"):
        Student.load(tmp_path)


def test_pickled_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((saved / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(StudentError, match="pickles are refused"):
        Student.load(tmp_path)


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors"])
def test_broken_files(saved: Path, tmp_path: Path, broken: str) -> None:
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / broken).write_bytes((saved / broken).read_bytes()[:40])
    with pytest.raises(StudentError, match="could not be loaded"):
        Student.load(tmp_path)


def test_no_blocks_found() -> None:
    model = build_model("llama")
    model.config.num_hidden_layers = BLOCKS + 1
    with pytest.raises(StudentError, match="No decoder blocks found in LlamaForCausalLM"):
        Student.wrap(model, build_tokenizer(), "wrong")


def test_blocks_are_the_larger_of_equal_lists() -> None:
    model = build_model("llama")
    model.small = nn.ModuleList(nn.Linear(1, 1) for _ in range(BLOCKS))
    assert find_layers(model)[0] is model.model.layers[0]


def test_blocks_by_path() -> None:
    model = build_model("llama")
    assert find_layers(model, "model.layers") == tuple(model.model.layers)
    with pytest.raises(StudentError, match=r"has no module .model\.blocks."):
        find_layers(model, "model.blocks")
    for path in ("model.norm", "model.layers.0"):
        with pytest.raises(StudentError, match="not a list of blocks"):
            find_layers(model, path)
    model.other = nn.Sequential(*model.model.layers[:2])
    assert find_layers(model, "other") == tuple(model.model.layers[:2])


def test_check_layer(llama: Student) -> None:
    llama.check_layer(-1)
    llama.check_layer(BLOCKS - 1)
    for layer in (-2, BLOCKS):
        with pytest.raises(StudentError, match=f"Layer {layer} does not exist"):
            llama.check_layer(layer)


def test_real_models_load_as_they_are(real_student: Student) -> None:
    assert real_student.n_layers == 5
    assert not real_student.has_chat_template
    assert real_student.start_ids == [1]
    assert {1, 2} <= real_student.special_ids
