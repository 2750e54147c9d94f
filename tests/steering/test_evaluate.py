"""Scoring candidates: one batched call, one judge, coherence against the prompt-only arm."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfsteer.errors import ControllerError, PlanError
from selfsteer.steering import evaluate as module
from selfsteer.steering.evaluate import Judged, Samples, evaluate, sample, score
from selfsteer.steering.generate import generate
from selfsteer.steering.metrics.coherence import perplexity_ratio
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.vectors import SteeringVector

PROMPTS = [Prompt.chat("How are you?"), Prompt.chat("What now?"), Prompt.chat("Where to?")]


def told(prompt: Prompt) -> Prompt:
    return prompt.with_system("Be glad.")


def share_of_e(samples: Sequence[Judged]) -> list[float]:
    """A judge that anyone can check."""
    return [item.reply.count("e") / max(1, len(item.reply)) for item in samples]


@pytest.fixture
def plans(llama: Student, vector_for: Callable[..., SteeringVector]) -> list[Plan]:
    vector = vector_for(llama)
    return [Plan.single(vector, 0, 0.5), Plan.single(vector, 1, 3.0)]


def test_greedy_candidates_equal_runs_of_their_own(llama: Student, plans: list[Plan]) -> None:
    scores = evaluate(
        llama, plans, PROMPTS, share_of_e, temperature=0, max_new_tokens=8, instructed=told
    )
    instructed = [told(prompt) for prompt in PROMPTS]
    baseline = generate(llama, instructed, temperature=0, max_new_tokens=8)
    for plan, found in zip(plans, scores, strict=True):
        alone = generate(llama, PROMPTS, plan, temperature=0, max_new_tokens=8)
        assert [reply.text for reply in found.replies] == [reply.text for reply in alone]
        assert [reply.prompt for reply in found.replies] == PROMPTS
        assert [reply.finished for reply in found.replies] == [reply.finished for reply in alone]
        expected = share_of_e([Judged(p, r.text) for p, r in zip(PROMPTS, alone, strict=True)])
        assert [reply.score for reply in found.replies] == expected
        assert found.steerability == pytest.approx(sum(expected) / 3)
        assert found.interval.low <= found.steerability <= found.interval.high
        ratio = perplexity_ratio(
            llama, instructed, [r.text for r in alone], [r.text for r in baseline]
        )
        assert found.coherence == pytest.approx(ratio, rel=1e-3)
        assert found.plan == plan
        assert found.n == 3
        assert 0 <= found.repetition <= 1
        assert 0 < found.distinct_2 <= 1
    assert scores[0].replies != scores[1].replies


def test_generates_and_judges_once(
    llama: Student, plans: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    judged: list[int] = []

    def counting(student: Student, prompts: Sequence[Prompt], *args: Any, **options: Any) -> Any:
        rows.append(len(prompts))
        return generate(student, prompts, *args, **options)

    def judge(samples: Sequence[Judged]) -> list[float]:
        judged.append(len(samples))
        return share_of_e(samples)

    monkeypatch.setattr(module, "generate", counting)
    scores = evaluate(
        llama, plans, PROMPTS, judge, samples_per_prompt=2, max_new_tokens=4, instructed=told
    )
    assert rows == [2 * 3 * 2 + 3 * 2]  # candidates and the prompt-only arm
    assert judged == [2 * 3 * 2]
    assert [reply.prompt for reply in scores[0].replies] == [p for p in PROMPTS for _ in range(2)]


def test_samples_survive_json_and_are_scored_alike(llama: Student, plans: list[Plan]) -> None:
    """Sampling and judging can lie apart: what is stored between them loses nothing."""
    samples = sample(llama, plans, PROMPTS, samples_per_prompt=2, max_new_tokens=5, instructed=told)
    rows = json.loads(json.dumps(samples.to_rows()))
    assert len(rows) == (2 + 1) * 3 * 2
    again = Samples.from_rows(rows, instructed=told)
    assert again == samples
    direct = score(llama, plans, samples, share_of_e)
    assert score(llama, plans, again, share_of_e) == direct
    at_once = evaluate(
        llama, plans, PROMPTS, share_of_e, samples_per_prompt=2, max_new_tokens=5, instructed=told
    )
    assert at_once == direct


def test_samples_count_their_tokens_and_show_the_baseline(
    llama: Student, plans: list[Plan]
) -> None:
    samples = sample(llama, plans, PROMPTS, max_new_tokens=5, instructed=told)
    rows = samples.to_rows()
    assert samples.generated_tokens == sum(len(row["ids"]) for row in rows)
    assert [row["arm"] for row in rows] == [0] * 3 + [1] * 3 + ["prompt_only"] * 3
    judged = samples.judged_reference()
    assert [item.prompt for item in judged] == PROMPTS
    assert [item.reply for item in judged] == [row["reply"] for row in rows[-3:]]


def test_without_an_instruction_the_plain_student_is_the_reference(
    llama: Student, plans: list[Plan]
) -> None:
    samples = sample(llama, plans[:1], PROMPTS, temperature=0, max_new_tokens=5)
    assert samples.told == samples.asked
    plain = generate(llama, PROMPTS, temperature=0, max_new_tokens=5)
    assert [reply.text for reply in samples.reference] == [reply.text for reply in plain]


def test_the_interval_counts_prompts_not_samples(llama: Student, plans: list[Plan]) -> None:
    """A judge that looks at the prompt only: more samples tell nothing more."""

    def by_prompt(samples: Sequence[Judged]) -> list[float]:
        return [PROMPTS.index(item.prompt) / 2 for item in samples]

    once, often = (
        evaluate(llama, plans[:1], PROMPTS, by_prompt, samples_per_prompt=n, max_new_tokens=3)[0]
        for n in (1, 4)
    )
    assert once.interval == often.interval
    assert (once.steerability, often.n) == (0.5, 12)


@pytest.mark.parametrize("bad", [1.5, -0.1, float("nan")])
def test_scores_outside_0_to_1_are_refused(llama: Student, plans: list[Plan], bad: float) -> None:
    with pytest.raises(ControllerError, match="within 0 to 1"):
        evaluate(llama, plans, PROMPTS, lambda samples: [bad] * len(samples), max_new_tokens=2)


def test_bad_input(llama: Student, plans: list[Plan]) -> None:
    with pytest.raises(ControllerError, match="1 scores for 6"):
        evaluate(llama, plans, PROMPTS, lambda _: [0.5], max_new_tokens=2)
    for arguments in (([], PROMPTS), (plans, [])):
        with pytest.raises(PlanError, match="at least"):
            evaluate(llama, *arguments, share_of_e)
    with pytest.raises(PlanError, match="at least"):
        evaluate(llama, plans, PROMPTS, share_of_e, samples_per_prompt=0)
