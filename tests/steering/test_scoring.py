"""Log-probabilities of replies, steered and not, against a plain forward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from selfsteer.errors import DatasetError, StudentError
from selfsteer.steering import scoring
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan, SteeringWarning
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs, option_logprobs
from tests.steering.families import narrow_student
from tests.steering.students import build_student, build_vector, mixed_plans, reference_logits

EXAMPLES = [
    Example(prompt=Prompt.chat("ab" * n, system="s"), completion="no" * (n % 5 + 1))
    for n in (1, 12, 4, 20, 7)
]
OPTIONS = ["yes", "n", "maybe so"]


def plans_for(student: Student) -> list[Plan]:
    vector = build_vector(student)
    return [
        Plan.none(),
        Plan.single(vector, 1, 0.7),
        Plan.single(vector, 0, 0.5, selector="response[1:4]"),
        Plan.single(vector, 2, 1.0, "ablate", "user"),
        Plan.single(vector, -1, 0.3, selector="last"),
    ]


def expected(student: Student, row: Encoded, plan: Plan) -> Tensor:
    logprobs = torch.log_softmax(reference_logits(student, row, plan), -1)
    reply = torch.tensor(row.ids[row.prompt_length :])
    return logprobs[row.prompt_length - 1 : -1].gather(1, reply[:, None]).squeeze(1)


@pytest.mark.parametrize("token_budget", [1, 8192])
@pytest.mark.parametrize("close", [False, True])
def test_completions(student: Student, token_budget: int, close: bool) -> None:
    plans = plans_for(student)
    found = completion_logprobs(student, EXAMPLES, plans, close=close, token_budget=token_budget)
    for values, example, plan in zip(found, EXAMPLES, plans, strict=True):
        row = encode(student, example, close=close)
        assert values.shape == (len(row.ids) - row.prompt_length,)
        torch.testing.assert_close(values, expected(student, row, plan), atol=1e-4, rtol=0)


@pytest.mark.parametrize("token_budget", [1, 60, 8192])
def test_completions_of_the_same_prompts_without_steering(
    student: Student, token_budget: int
) -> None:
    """Prompts that several share are read once; so is what their completions begin with."""
    replies = ("no", "note", "not at all", "note", "yes", "n")
    shared = [Example(prompt=e.prompt, completion=r) for e in EXAMPLES[:2] for r in replies]
    examples = [*shared, *EXAMPLES, shared[0]]
    found = completion_logprobs(student, examples, token_budget=token_budget)
    for values, example in zip(found, examples, strict=True):
        wanted = expected(student, encode(student, example), Plan.none())
        torch.testing.assert_close(values, wanted, atol=1e-4, rtol=0)
    plan = Plan.single(build_vector(student), 1, 0.0)
    with pytest.warns(SteeringWarning, match="its strength is 0"):
        idle = completion_logprobs(student, examples, plan, token_budget=token_budget)
    assert all(map(torch.equal, idle, found))


# An option of one token is scored before any token of the reply is read.
@pytest.mark.filterwarnings("ignore::selfsteer.steering.plan.SteeringWarning")
@pytest.mark.parametrize("options", [OPTIONS, ["a", "b"]])
@pytest.mark.parametrize("token_budget", [1, 8192])
def test_options(student: Student, options: list[str], token_budget: int) -> None:
    prompts = [example.prompt for example in EXAMPLES]
    plans = plans_for(student)
    found = option_logprobs(student, prompts, options, plans, token_budget=token_budget)
    assert found.shape == (len(prompts), len(options))
    for i, (prompt, plan) in enumerate(zip(prompts, plans, strict=True)):
        for j, option in enumerate(options):
            row = encode(student, Example(prompt=prompt, completion=option))
            total = expected(student, row, plan).sum()
            torch.testing.assert_close(found[i, j], total, atol=1e-4, rtol=1e-5)


def test_every_operator_gate_and_schedule(llama: Student) -> None:
    plans = mixed_plans(llama, [example.prompt for example in EXAMPLES])
    examples = [EXAMPLES[i % len(EXAMPLES)] for i in range(len(plans))]
    found = completion_logprobs(llama, examples, plans)
    options = option_logprobs(llama, [e.prompt for e in examples], OPTIONS, plans)
    for i, (example, plan) in enumerate(zip(examples, plans, strict=True)):
        values = expected(llama, encode(llama, example), plan)
        torch.testing.assert_close(found[i], values, atol=1e-4, rtol=0)
        option = Example(prompt=example.prompt, completion=OPTIONS[i % 3])
        total = expected(llama, encode(llama, option), plan).sum()
        torch.testing.assert_close(options[i, i % 3], total, atol=1e-4, rtol=1e-5)


def test_options_are_completions(llama: Student) -> None:
    prompt = EXAMPLES[1].prompt
    table = option_logprobs(llama, [prompt], OPTIONS)[0]
    for value, option in zip(table, OPTIONS, strict=True):
        example = Example(prompt=prompt, completion=option)
        torch.testing.assert_close(value, completion_logprobs(llama, [example])[0].sum())


def test_nothing_to_score(llama: Student) -> None:
    with pytest.raises(DatasetError, match="Example 1 has no completion"):
        completion_logprobs(llama, [EXAMPLES[0], Example(prompt=Prompt.chat("a"))])
    for options in ([], ["yes", ""]):
        with pytest.raises(DatasetError, match="none of them empty"):
            option_logprobs(llama, [Prompt.chat("a")], options)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_what_is_longer_than_the_context_is_refused(family: str) -> None:
    student = build_student(family, max_position_embeddings=40)
    fits = Example(prompt=Prompt.chat("a" * 30), completion="b" * 6)
    assert completion_logprobs(student, [fits])[0].isfinite().all()
    longer = fits.model_copy(update={"completion": "b" * 7})
    with pytest.raises(StudentError, match=f"Example 1 has 41 tokens, but tiny-{family} reads 40"):
        completion_logprobs(student, [fits, longer])
    with pytest.raises(
        StudentError, match=r"Prompt 1 has 41 tokens with the longest option, but .* reads 40"
    ):
        option_logprobs(student, [Prompt.chat("a"), fits.prompt], ["b", "b" * 7])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt-neo", "mpt"])
def test_options_of_several_lengths_at_the_end_of_the_context(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options are padded to the longest of the batch; what it is for another row may be longer
    than the context has room for here."""
    student = narrow_student(family, 40)
    prompts = [Prompt.chat("a" * 30), Prompt.chat("ab")]
    written = scoring._reply

    def longer(student: Student, prompt: Prompt, option: str) -> list[int]:
        return written(student, prompt, option * (3 if prompt == prompts[1] else 1))

    monkeypatch.setattr(scoring, "_reply", longer)
    found = option_logprobs(student, prompts, ["abcdef", "xy"])
    for i, times in enumerate((1, 3)):
        for j, option in enumerate(("abcdef", "xy")):
            example = Example(prompt=prompts[i], completion=option * times)
            (alone,) = completion_logprobs(student, [example])
            torch.testing.assert_close(found[i, j], alone.sum(), atol=1e-4, rtol=1e-5)


def test_an_edit_that_changes_nothing_warns(llama: Student) -> None:
    plan = Plan.single(build_vector(llama), 1, 1.0, selector="system")
    for call in (
        lambda: completion_logprobs(
            llama, [Example(prompt=Prompt.chat("a"), completion="b")], plan
        ),
        lambda: option_logprobs(llama, [Prompt.chat("a")], ["b"], plan),
    ):
        with pytest.warns(SteeringWarning, match="its selector 'system' matches no token") as told:
            call()
        assert told[0].filename == __file__


def test_no_rows(llama: Student) -> None:
    assert completion_logprobs(llama, []) == []
    assert option_logprobs(llama, [], OPTIONS).shape == (0, 3)


def test_real_models_prefer_sense(real_student: Student) -> None:
    good, bad = option_logprobs(real_student, [Prompt.raw("Once upon a")], [" time", " mite"])[
        0
    ].tolist()
    assert good > bad
