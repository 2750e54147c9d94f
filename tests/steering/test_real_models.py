"""Two small trained models as they are: odd tokenizers, no chat template. They read and steer.

They are looked for in the folder that SELFSTEER_SHARED names; the tests are skipped without it.
"""

from __future__ import annotations

import pytest
import torch

from selfsteer.steering.capture import capture
from selfsteer.steering.chat import ChatWarning
from selfsteer.steering.encoding import encode
from selfsteer.steering.generate import generate
from selfsteer.steering.generate_hf import steered_generate_hf
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs, option_logprobs
from selfsteer.steering.vectors import SteeringVector
from tests.steering.students import grown, reference_logits

GLAD = (
    "Lily was very happy. She smiled and laughed",
    "Tom was happy and played all day",
    "The dog was happy. It jumped with joy",
    "They had fun and were glad",
)
SAD = (
    "Lily was very sad. She cried and cried",
    "Tom was sad and cried all day",
    "The dog was sad. It was scared and hurt",
    "They were sad and upset",
)
STARTS = [
    Prompt.raw(text)
    for text in (
        "One day, Lily went to the park. She felt very",
        "Tom lost his ball. He was",
        "The cat saw her friend. She was so",
    )
]


@pytest.fixture(scope="module")
def gladness(real_student: Student) -> SteeringVector:
    """The mean difference between glad and sad sentences."""
    sides = [
        capture(real_student, [Prompt.raw(t) for t in texts], selector="prompt")
        for texts in (GLAD, SAD)
    ]
    difference = (sides[0].values - sides[1].values).mean(1)
    norms = torch.cat([side.norms for side in sides], dim=1).mean(1)
    layers = range(real_student.n_layers)
    return SteeringVector(
        directions={k: difference[k] for k in layers},
        residual_norms={k: norms[k].item() for k in layers},
        method="mean_difference",
        selector="prompt",
        concept="glad",
        dataset_id="0" * 16,
        student_fingerprint=real_student.fingerprint,
    )


def test_steering_moves_what_they_say_next(real_student: Student, gladness: SteeringVector) -> None:
    """How much likelier "happy" is than "sad", in nats; it spans several between the ends."""
    leanings = []
    for strength in (-0.25, 0.0, 0.25):
        plan = Plan.single(gladness, 3, strength) if strength else Plan.none()
        scores = option_logprobs(real_student, STARTS, [" happy", " sad"], plan)
        leanings.append((scores[:, 0] - scores[:, 1]).mean().item())
    assert leanings[0] + 1 < leanings[1] < leanings[2] - 0.5


def test_cached_steering_is_that_of_an_uncached_forward(
    real_student: Student, gladness: SteeringVector
) -> None:
    plans = [
        Plan.none(),
        Plan.single(gladness, 2, 0.3),
        Plan((Edit(gladness, (1, 3), 0.2, selector="response[1:]"),)),
    ]
    replies = generate(real_student, STARTS, plans, max_new_tokens=12, temperature=0)
    again = steered_generate_hf(real_student, STARTS, plans, max_new_tokens=12, do_sample=False)
    assert again == replies
    for prompt, plan, reply in zip(STARTS, plans, replies, strict=True):
        row = grown(real_student, prompt, reply.ids)
        logits = reference_logits(real_student, row, plan)[row.prompt_length - 1 :]
        assert reply.ids == logits.argmax(-1)[: len(reply.ids)].tolist()
        example = Example(prompt=prompt, completion=reply.text)
        assert encode(real_student, example).ids == row.ids
        found = completion_logprobs(real_student, [example], plan)[0]
        expected = torch.log_softmax(logits, -1)[:-1].gather(1, torch.tensor(reply.ids)[:, None])
        torch.testing.assert_close(found, expected[:, 0], atol=1e-4, rtol=0)


def test_prompt_and_reply_join_as_text(real_student: Student) -> None:
    """Their tokenizers mark word starts, and drop the first space of what they decode."""
    prompt = Prompt.raw("Once upon a")
    (reply,) = generate(real_student, [prompt], max_new_tokens=8, temperature=0)
    assert reply.text.startswith(" time")
    ids = grown(real_student, prompt, reply.ids).ids
    text = real_student.tokenizer.decode(ids, skip_special_tokens=True)
    assert f"{prompt.text}{reply.text}" == text


def test_chat_messages_are_continued_as_text(real_student: Student) -> None:
    fresh = Student.wrap(real_student.model, real_student.tokenizer, "fresh")
    prompt = Prompt.chat("Once upon a", system="A story.")
    with pytest.warns(ChatWarning, match="fresh has no chat template"):
        row = encode(fresh, prompt)
    plain = encode(fresh, Prompt.raw("A story.\nOnce upon a"))
    assert row.ids == plain.ids
    assert set(row.roles) == {"system", "user"}
