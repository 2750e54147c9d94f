"""The logit lens against the student's own last steps."""

from __future__ import annotations

import pytest
import torch

from selfsteer.errors import VectorError
from selfsteer.steering.capture import capture_tokens
from selfsteer.steering.encoding import encode
from selfsteer.steering.lens import logit_lens, unembed
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt
from tests.steering.students import hook_count


def test_the_last_block_gives_the_students_own_logits(student: Student) -> None:
    prompt = Prompt.chat("abc de")
    row = encode(student, prompt)
    [tokens] = capture_tokens(student, [row], [student.n_layers - 1], "all + special")
    with torch.inference_mode():
        expected = student.model(torch.tensor([row.ids])).logits[0].float()
    assert torch.allclose(unembed(student, tokens[0]), expected, atol=1e-4)


def test_a_tokens_own_row_of_the_head_speaks_for_it(llama: Student) -> None:
    head = llama.model.get_output_embeddings().weight
    token = next(i for i in range(head.shape[0]) if i not in llama.special_ids)
    around = torch.zeros(llama.d_model)
    around[0] = 1e-3
    gained, lost = logit_lens(llama, around, 10 * head[token].float(), top=5)
    assert llama.tokenizer.decode([token]) in [one.token for one in gained]
    assert all(one.nats > other.nats for one, other in zip(gained, lost, strict=True))


def test_hooks_are_gone_and_the_hidden_width_is_checked(llama: Student) -> None:
    # Not none: transformers leaves hooks of its own where it was asked for hidden states.
    before = hook_count(llama)
    with pytest.raises(VectorError, match="width"):
        logit_lens(llama, torch.zeros(3), torch.zeros(3))
    unembed(llama, torch.zeros(2, llama.d_model))
    assert hook_count(llama) == before
