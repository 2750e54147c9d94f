"""Hooks behind a layer see its output, and what they return goes on."""

from __future__ import annotations

import pytest
import torch

from selfsteer.steering.layer_hooks import on_layer
from tests.steering.students import BLOCKS, FAMILIES, build_student, hook_count

IDS = torch.tensor([[1, 20, 30, 40]])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", range(-1, BLOCKS))
def test_what_is_returned_goes_on_and_what_is_seen_is_the_output(family: str, layer: int) -> None:
    student = build_student(family)
    seen: list[torch.Tensor] = []

    def look(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(hidden)
        return hidden

    with torch.inference_mode():
        plain = student.model(IDS, output_hidden_states=True)
        before = hook_count(student)  # transformers records hidden states by hooks of its own
        handle = on_layer(student, layer, look)
        assert torch.equal(student.model(IDS).logits, plain.logits)
        handle.remove()
        if layer < BLOCKS - 1:  # the last hidden state is behind the final norm
            assert torch.equal(seen[0], plain.hidden_states[layer + 1])
        handle = on_layer(student, layer, torch.zeros_like)
        assert not torch.allclose(student.model(IDS).logits, plain.logits)
        handle.remove()
    assert hook_count(student) == before
