"""One forward: what its head is given, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from selfsteer.steering import forward
from tests.steering.families import family_student


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "mamba"])
@pytest.mark.parametrize("keep", [1, 3, 5])
def test_the_head_reads_contiguous_activations(name: str, keep: int) -> None:
    """And the logits are those of a forward that keeps all of them."""
    student = family_student(name)
    head: Any = student.model.get_output_embeddings()
    ids = torch.randint(5, 40, (3, 5), generator=torch.Generator().manual_seed(0))
    seen: list[bool] = []
    inner = head.forward
    head.forward = lambda hidden: seen.append(hidden.is_contiguous()) or inner(hidden)
    try:
        with torch.inference_mode():
            found = forward.logits(student, ids, None, None, keep=keep)
            expected = student.model(input_ids=ids).logits[:, -keep:]
    finally:
        del head.forward
    assert seen[0]
    assert not head._forward_pre_hooks
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
