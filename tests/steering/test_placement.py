"""Students spread by a device map or quantised while they load, with the real libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from selfsteer.errors import StudentError
from selfsteer.steering.capture import capture
from selfsteer.steering.encoding import encode
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs
from tests.steering.students import BLOCKS, build_student, build_vector, reference_logits

PROMPTS = [Prompt.chat("ab" * n, system="be") for n in (1, 9, 4)]
LAYERS = range(-1, BLOCKS)
EACH = {
    name: "cpu"
    for name in (
        "model.embed_tokens",
        *(f"model.layers.{k}" for k in range(BLOCKS)),
        "model.norm",
        "model.rotary_emb",
        "lm_head",
    )
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    student = build_student("llama")
    student.model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)
    return folder


def plans_for(student: Student) -> list[Plan]:
    one, two = build_vector(student), build_vector(student, seed=1)
    return [
        Plan.none(),
        Plan((Edit(one, (-1, 1), 0.5), Edit(two, (2,), 1.0, "ablate"))),
        Plan.single(two, 0, 0.6, selector="response[1:] + user"),
    ]


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}, EACH], ids=["auto", "one", "each"])
def test_a_student_with_a_device_map_is_the_same_student(saved: Path, device_map: Any) -> None:
    pytest.importorskip("accelerate")
    plain, mapped = Student.load(saved), Student.load(saved, device_map=device_map)
    if not torch.cuda.is_available() or device_map != "auto":
        assert mapped.device.type == "cpu"
    assert mapped.fingerprint == plain.fingerprint
    found, expected = (capture(s, PROMPTS, LAYERS, "all").values.cpu() for s in (mapped, plain))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    replies = [
        generate(s, PROMPTS, plans_for(s), max_new_tokens=8, temperature=0) for s in (mapped, plain)
    ]
    assert replies[0] == replies[1]
    assert replies[0] != generate(mapped, PROMPTS, max_new_tokens=8, temperature=0)


def test_a_device_map_that_leaves_weights_on_the_disk_is_refused(saved: Path) -> None:
    pytest.importorskip("accelerate")
    with pytest.raises(StudentError, match=r"not all on a device \(model\.layers\.1.* offloaded"):
        Student.load(saved, device_map=EACH | {"model.layers.1": "disk"})


def test_a_quantised_student_is_read_steered_and_scored(saved: Path) -> None:
    """Weights of eight bits, activations of float32: edits are exact against a plain forward."""
    quantization = pytest.importorskip("torchao.quantization")
    from transformers import TorchAoConfig

    config = TorchAoConfig(quantization.Int8WeightOnlyConfig())
    plain, small = Student.load(saved), Student.load(saved, quantization_config=config)
    weight = small.model.model.layers[0].mlp.up_proj.weight
    assert type(weight) is not torch.nn.Parameter
    assert weight.element_size() == 1 or "int8" in repr(weight)
    assert small.fingerprint != plain.fingerprint
    assert small.fingerprint == Student.load(saved, quantization_config=config).fingerprint

    found, expected = (capture(s, PROMPTS, LAYERS, "all").values for s in (small, plain))
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert 0 < error[1:].max() < 0.1

    examples = [Example(prompt=prompt, completion="xyz") for prompt in PROMPTS]
    plans = plans_for(small)
    for values, example, plan in zip(
        completion_logprobs(small, examples, plans), examples, plans, strict=True
    ):
        row = encode(small, example)
        logprobs = torch.log_softmax(reference_logits(small, row, plan), -1)
        reply = torch.tensor(row.ids[row.prompt_length :])
        known = logprobs[row.prompt_length - 1 : -1].gather(1, reply[:, None]).squeeze(1)
        torch.testing.assert_close(values, known, atol=1e-4, rtol=0)
    together = generate(small, PROMPTS, plans, max_new_tokens=8, temperature=0)
    for prompt, plan, reply in zip(PROMPTS, plans, together, strict=True):
        assert generate(small, [prompt], plan, max_new_tokens=8, temperature=0) == [reply]
