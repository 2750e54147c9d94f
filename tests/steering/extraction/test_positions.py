"""All-position vectors from one contrast in the system prompt."""

from __future__ import annotations

import pytest
import torch

from selfsteer.errors import DatasetError, SelectorError, VectorError
from selfsteer.steering.capture import capture_tokens
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.extraction.positions import align, all_position_vector
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt

GLAD, SAD = "You are very glad.", "You are sad."
PROMPT = Prompt.chat("How was your day?")


def rows(student: Student, prompt: Prompt = PROMPT) -> tuple[Encoded, Encoded]:
    return align(
        encode(student, prompt.with_system(GLAD)),
        encode(student, prompt.with_system(SAD)),
        encode(student, Example(prompt=PROMPT, completion=" ")).ids[-1:],
    )


@pytest.mark.parametrize("kind", ["llama", "plain"])
@pytest.mark.parametrize("prompt", [PROMPT, Prompt.raw("It was a dark night")], ids=["chat", "raw"])
def test_every_later_token_is_aligned(
    kind: str, prompt: Prompt, request: pytest.FixtureRequest
) -> None:
    student = request.getfixturevalue(kind)
    glad, sad = rows(student, prompt)
    assert len(glad.ids) == len(sad.ids) == len(sad.roles) == len(sad.special)
    assert glad.prompt_length == sad.prompt_length == len(glad.ids)
    assert glad.ids == encode(student, prompt.with_system(GLAD)).ids
    differ = [i for i, (a, b) in enumerate(zip(glad.ids, sad.ids, strict=True)) if a != b]
    # Nothing differs in front of the contrast or behind the longer message.
    message = student.tokenizer.decode(glad.ids[: differ[-1] + 1])
    assert student.tokenizer.decode(glad.ids[: differ[0]]).endswith("You are ")
    assert GLAD.startswith(message[message.index("You") :].rstrip("\n"))


def test_filler_stands_behind_the_system_message(llama: Student, plain: Student) -> None:
    filled = [student.tokenizer.decode(rows(student)[1].ids) for student in (llama, plain)]
    assert "<|system|>You are sad.      <|end|><|user|>How was" in filled[0]
    assert "You are sad.      \nHow was" in filled[1]


def test_filler_belongs_to_the_system_message_and_is_not_special(llama: Student) -> None:
    _, sad = rows(llama)
    before = encode(llama, PROMPT.with_system(SAD))
    added = len(sad.ids) - len(before.ids)
    assert added == len(GLAD) - len(SAD)
    assert sad.roles.count("system") == before.roles.count("system") + added
    assert sum(sad.special) == sum(before.special)


def test_is_the_mean_of_the_differences_at_every_position(llama: Student) -> None:
    vector = all_position_vector(llama, GLAD, SAD, PROMPT)
    glad, sad = capture_tokens(llama, rows(llama), selector="all + special")
    for layer in range(llama.n_layers):
        difference = (glad[layer] - sad[layer]).mean(dim=0)
        torch.testing.assert_close(vector.directions[layer], difference, atol=1e-5, rtol=1e-4)
        norm = torch.cat([glad[layer], sad[layer]]).norm(dim=-1).mean()
        assert vector.residual_norms[layer] == pytest.approx(float(norm), rel=1e-5)
    assert vector.method == "all_positions"
    assert vector.concept == GLAD
    assert vector.notes == {"filler": " ", "positions": glad.shape[1]}
    vector.check_student(llama)


def test_points_to_the_first_message(llama: Student) -> None:
    there = all_position_vector(llama, GLAD, SAD, PROMPT, layers=[1])
    back = all_position_vector(llama, SAD, GLAD, PROMPT, layers=[1])
    torch.testing.assert_close(there.directions[1], -back.directions[1])


def test_a_completion_counts_and_can_be_selected_alone(llama: Student) -> None:
    example = Example(prompt=PROMPT, completion="Fine.")
    vector = all_position_vector(llama, GLAD, SAD, example, selector="response", layers=[0, 2])
    glad, sad = (
        capture_tokens(llama, [row], [0, 2], "response")[0]
        for row in align(
            encode(llama, Example(prompt=PROMPT.with_system(GLAD), completion="Fine.")),
            encode(llama, Example(prompt=PROMPT.with_system(SAD), completion="Fine.")),
            encode(llama, Example(prompt=PROMPT, completion=" ")).ids[-1:],
        )
    )
    torch.testing.assert_close(
        vector.directions[2], (glad - sad)[1].mean(dim=0), atol=1e-5, rtol=1e-4
    )
    assert vector.notes["positions"] == 5


def test_bad_input(llama: Student) -> None:
    with pytest.raises(DatasetError, match="the same"):
        all_position_vector(llama, GLAD, GLAD, PROMPT)
    with pytest.raises(DatasetError, match="filler"):
        all_position_vector(llama, GLAD, SAD, PROMPT, filler="")
    with pytest.raises(SelectorError):
        all_position_vector(llama, GLAD, SAD, PROMPT, selector="response")
    with pytest.raises(VectorError, match="same activations"):
        all_position_vector(llama, GLAD, SAD, PROMPT, selector="all[0:3]")


def test_prompts_that_differ_after_the_system_message_are_refused(llama: Student) -> None:
    first = encode(llama, Example(prompt=PROMPT.with_system(GLAD), completion="yes"))
    second = encode(llama, Example(prompt=PROMPT.with_system(SAD), completion="no"))
    with pytest.raises(DatasetError, match="do not end alike"):
        align(first, second, [5])
