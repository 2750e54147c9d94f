"""A large model as the controller: what it is told, what is made of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from selfsteer.agents.briefing import describe_history
from selfsteer.agents.llm_controller import JUDGED_AT_ONCE, LlmController
from selfsteer.agents.models.chat_model import Ask
from selfsteer.agents.types import (
    MOST_SAMPLES,
    TRIALS,
    CandidateResult,
    Failure,
    Goal,
    RoundSummary,
    Sample,
    SearchSpace,
    SiteEvidence,
)
from selfsteer.errors import ControllerError
from tests.agents.large import Script, ScriptedCalls, fenced, proposal, said

GOAL = Goal(text="be merry")
BEST = CandidateResult(
    site="reply",
    layer=2,
    operator="add",
    strength=0.5,
    steerability=0.9,
    coherence=1.1,
    broken=0.01,
    repetition=0,
    n=192,
)
SPACE = SearchSpace(sites=("reply",), layers=(0, 2))
ROUND = RoundSummary(
    number=0,
    positive=("Be merry.",),
    negative=("",),
    pairs_kept=40,
    pairs_sampled=64,
    turned_down=(Failure(prompt="How?", reply="so </data> so", score=0.1),),
    strays=(Failure(prompt="Who?", reply="ha ha", score=0.9),),
    space=SPACE,
    best=BEST,
    leading=(BEST, BEST.model_copy(update={"layer": 0, "steerability": 0.85, "retention": 0.97})),
    failures=(Failure(prompt="Why?", reply="woe", score=0.2),),
)
EVIDENCE = tuple(
    SiteEvidence(
        site=site,
        layer=layer,
        norm=1.5,
        auroc=0.9,
        effect_size=2,
        residual_norm=8,
        stability=0.97 if site == "reply" else None,
    )
    for site in ("reply", "start")
    for layer in (0, 2)
)
CHOICE = {
    "sites": ["reply"],
    "layers": [2, 0, 2],
    "operators": ["add"],
    "low": 0.1,
    "high": 1.0,
    "reason": "Middle.",
}


def controller(script: Script) -> tuple[LlmController, ScriptedCalls]:
    calls = ScriptedCalls(script)
    return LlmController("scripted", calls), calls


def always(answer: Any) -> Script:
    return lambda role, ask: answer


def without_questions() -> dict[str, Any]:
    return {name: value for name, value in proposal().items() if name != "questions"}


def on_topics(*sizes: int) -> list[dict[str, str]]:
    """Questions, so many of each topic."""
    return [
        {"topic": f"Topic {number}", "text": f"topic {number}: {i}?"}
        for number, size in enumerate(sizes)
        for i in range(size)
    ]


AGAIN = {"topic": "x", "text": "Topic 0: 0"}


def task(ask: Ask) -> str:
    return ask.messages[0].content


def test_a_proposal_becomes_a_spec() -> None:
    large, calls = controller(always(proposal()))
    spec = large.propose(GOAL, ())
    assert (len(spec.positive), spec.negative) == (5, ("",))
    assert len(spec.questions) == 48
    assert (spec.rubric, spec.reason) == ("Merry words count.", "Plain contrast.")
    assert fenced(task(calls.asked[0][2]), "goal") == ["be merry"]


def test_what_a_run_keeps_fixed_is_in_the_part_that_can_be_cached() -> None:
    goal = GOAL.model_copy(update={"rubric": "Merry words count."})
    for decide in (
        lambda large: large.propose(goal, (ROUND,)),
        lambda large: large.choose(goal, EVIDENCE, ()),
        lambda large: large.judge(goal, [Sample(prompt="p", reply="a")]),
        lambda large: large.reflect(goal, (ROUND,)),
    ):
        large, calls = controller(by_role)
        decide(large)
        ask = calls.asked[0][2]
        assert fenced(ask.system, "goal") == ["be merry"]
        assert task(ask).strip()
        assert not fenced(task(ask), "goal") + fenced(task(ask), "rubric")
        rubric = ["Merry words count."] if calls.asked[0][1].startswith("judge") else []
        assert fenced(ask.system, "rubric") == rubric


def by_role(role: str, ask: Ask) -> Any:
    """An answer that fits, whatever is asked."""
    if role == "judge":
        return letters(role, ask)
    give_up = {"action": "give_up", "reason": "So."}
    answers = {"revise": without_questions(), "choose": CHOICE, "reflect": give_up}
    return answers[role]


def test_the_rubric_of_the_goal_is_kept() -> None:
    large, _ = controller(always(proposal()))
    assert large.propose(GOAL.model_copy(update={"rubric": "Mine."}), ()).rubric == "Mine."


def test_later_rounds_see_what_failed_and_sample_more() -> None:
    def script(role: str, ask: Ask) -> Any:
        return proposal() if role == "propose" else without_questions()

    large, calls = controller(script)
    later, first = large.propose(GOAL, (ROUND,)), large.propose(GOAL, ())
    assert later.samples == 2 * first.samples
    assert large.propose(GOAL, (ROUND,) * 9).samples == MOST_SAMPLES
    assert (len(first.questions), later.questions) == (48, ())
    step, _, ask = calls.asked[0]
    assert step == "propose-1"
    assert fenced(task(ask), "reply") == ["so </data> so", "ha ha", "woe"]
    assert fenced(task(ask), "instructions") == ["Be merry.", "(none)"]
    assert "steerability 0.900" in task(ask)


def test_the_candidates_that_led_are_told_each_once() -> None:
    told = describe_history((ROUND,))
    assert told.count("steerability") == 2
    assert "Best candidate: site reply, layer 2" in told
    assert "- site reply, layer 0, add 0.500: steerability 0.850" in told
    assert "retention 0.970" in told


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"positive": ["Be merry."] * 4}, "positive"),
        ({"questions": []}, "questions"),
        ({"negative": ["Be merry, way 3."]}, "'Be merry, way 3.' stands on both sides"),
        ({"rubric": ""}, "rubric"),
        ({"questions": on_topics(40)}, "questions need 4 topics or more .*there are 1"),
        ({"questions": on_topics(20, 20)}, "there are 2"),
        ({"questions": on_topics(40, 3, 3, 3)}, "there are 1"),
        ({"questions": on_topics(30, 5, 5, 5)}, "30 of 45 questions are on one topic, 'topic 0'"),
        ({"questions": on_topics(10, 10, 10, 9)}, "at least 40 items"),
        (
            {"questions": [*on_topics(10, 10, 10, 9), AGAIN]},
            "only 39",
        ),
    ],
)
def test_a_poor_proposal_is_repaired_or_refused(other: dict[str, Any], told: str) -> None:
    large, calls = controller(always(proposal(**other)))
    with pytest.raises(ControllerError, match=told):
        large.propose(GOAL, ())
    assert len(calls.asked) == 2


def test_questions_on_several_topics_are_taken() -> None:
    for sizes in ((10, 10, 10, 10), (20, 8, 6, 4, 2), (4,) * 10, (16, 8, 8, 4, 1, 1, 1, 1)):
        large, calls = controller(always(proposal(questions=on_topics(*sizes))))
        assert len(large.propose(GOAL, ()).questions) == sum(sizes)
        assert len(calls.asked) == 1


def test_a_lopsided_proposal_is_repaired_in_one_turn() -> None:
    answers = iter([proposal(questions=on_topics(48)), proposal()])
    large, calls = controller(lambda role, ask: next(answers))
    assert len(large.propose(GOAL, ()).questions) == 48
    assert "4 topics" in calls.asked[1][2].messages[-1].content


def test_a_choice_becomes_a_search_space() -> None:
    large, calls = controller(always(CHOICE))
    space = large.choose(GOAL, EVIDENCE, ())
    assert (space.sites, space.layers, space.low, space.high) == (("reply",), (0, 2), 0.1, 1.0)
    assert space.trials == TRIALS
    _, _, ask = calls.asked[0]
    assert "- `start`: read from `last`, added to `last`" in ask.system
    assert "reply | 2 | 0.900 | 2.00 | 0.97 | 1.5 | 8" in task(ask)
    assert "start | 2 | 0.900 | 2.00 | - | 1.5 | 8" in task(ask)
    assert "This is the first round." in task(ask)


def test_a_choice_may_say_how_much_is_tried() -> None:
    large, calls = controller(always(CHOICE | {"trials": 24}))
    assert large.choose(GOAL, EVIDENCE, (ROUND,)).trials == 24
    assert "12 to 168, 84 where you do not say" in calls.asked[0][2].system
    assert "layer 0, add 0.500" in task(calls.asked[0][2])


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"sites": ["end"]}, "no site end; there are reply, start"),
        ({"layers": [1]}, "no layer 1; there are 0, 2"),
        ({"operators": ["swap"]}, "no operator swap"),
        ({"low": 2.0}, r"low \(2\) is above high \(1\)"),
        ({"trials": 11}, "trials"),
        ({"trials": 169}, "trials"),
    ],
)
def test_a_choice_of_what_is_not_there_is_told_so(other: dict[str, Any], told: str) -> None:
    large, _ = controller(always(CHOICE | other))
    with pytest.raises(ControllerError, match=told):
        large.choose(GOAL, EVIDENCE, ())


def letters(role: str, ask: Ask) -> dict[str, Any]:
    """Judges each fenced reply by its share of the letter a, whatever it says besides."""
    replies = fenced(task(ask), "reply")
    scores = [round(100 * reply.count("a") / max(1, len(reply))) for reply in replies]
    return {"verdicts": [{"number": n, "score": s} for n, s in enumerate(scores, start=1)]}


def judged(replies: Sequence[str], script: Script = letters) -> tuple[list[float], ScriptedCalls]:
    large, calls = controller(script)
    samples = [Sample(prompt="p", reply=reply) for reply in replies]
    return [verdict.score for verdict in large.judge(GOAL, samples)], calls


def test_replies_are_judged_in_batches_and_equal_ones_once() -> None:
    replies = [f"{'a' * (i % 5)}{'b' * (i // 5 + 1)}" for i in range(JUDGED_AT_ONCE + 3)]
    scores, calls = judged([*replies, "", *replies, "  "])
    assert scores[: len(replies)] == [round(100 * r.count("a") / len(r)) / 100 for r in replies]
    assert scores[len(replies)] == scores[-1] == 0
    assert scores[len(replies) + 1 : -1] == scores[: len(replies)]
    assert len(calls.asked) == 2
    # What is fetched beforehand is what is asked.
    assert calls.prefetched == [ask for _, _, ask in calls.asked]


def test_verdicts_must_be_numbered_as_the_replies() -> None:
    def one_missing(role: str, ask: Ask) -> dict[str, Any]:
        whole = letters(role, ask)
        return {"verdicts": whole["verdicts"][:-1]}

    with pytest.raises(ControllerError, match="one verdict for each reply, numbered 1 to 2"):
        judged(["a", "b"], one_missing)


def test_a_refused_reply_is_found_and_costs_the_others_nothing() -> None:
    def squeamish(role: str, ask: Ask) -> Any:
        if "bomb" in task(ask):
            return said("I cannot judge this.", "refusal")
        return letters(role, ask)

    scores, _ = judged(["a", "ab", "a bomb", "aab", "b"], squeamish)
    assert scores == [1.0, 0.5, 0.0, 0.67, 0.0]


def test_another_method_is_named() -> None:
    answer = {"action": "other_method", "method": "lda", "reason": "Noise differs by direction."}
    large, calls = controller(always(answer))
    assert large.reflect(GOAL, (ROUND,)).method == "lda"
    assert "lda" in calls.asked[0][2].system
    large, _ = controller(always({**answer, "method": "magic"}))
    with pytest.raises(ControllerError, match=r"name a method; there are .*lda"):
        large.reflect(GOAL, (ROUND,))


@pytest.mark.parametrize("action", ["confirm", "narrow", "widen", "revise_data", "give_up"])
def test_a_reflection_becomes_a_decision(action: str) -> None:
    large, calls = controller(always({"action": action, "reason": "Because."}))
    decision = large.reflect(GOAL, (ROUND,))
    assert (decision.action, decision.reason) == (action, "Because.")
    assert decision.candidate == (BEST.spec() if action == "confirm" else None)
    step, _, ask = calls.asked[0]
    assert step == "reflect-0"
    assert "steerability at least 0.85" in ask.system


@pytest.mark.parametrize(
    ("action", "told"), [("confirm", "no candidate"), ("narrow", "nothing was searched")]
)
def test_what_cannot_be_done_is_told(action: str, told: str) -> None:
    large, _ = controller(always({"action": action, "reason": "Because."}))
    empty = RoundSummary(number=0, pairs_kept=2, pairs_sampled=64)
    with pytest.raises(ControllerError, match=told):
        large.reflect(GOAL, (empty,))


SPLIT = {"action": "split", "parts": ["Be merry.", "Be brief."], "reason": "They are two."}


def test_a_goal_can_be_split() -> None:
    large, calls = controller(always(SPLIT))
    decision = large.reflect(GOAL, (ROUND,))
    assert (decision.action, decision.parts) == ("split", ("Be merry.", "Be brief."))
    assert "`split`" in calls.asked[0][2].system
    later = ROUND.model_copy(update={"parts": decision.parts})
    large, calls = controller(always({**SPLIT, "action": "give_up"}))
    assert large.reflect(GOAL, (later,)).parts == ()
    assert fenced(task(calls.asked[0][2]), "parts") == ["Be merry.\nBe brief."]


@pytest.mark.parametrize(
    ("parts", "before", "told"),
    [
        ([], (), "two parts or more"),
        (["Be merry."] * 2, (), "no two of them the same"),
        (SPLIT["parts"], ("Be merry.", "Be brief."), "split before"),
    ],
)
def test_a_split_that_cannot_be_done_is_told(
    parts: list[str], before: tuple[str, ...], told: str
) -> None:
    large, _ = controller(always({**SPLIT, "parts": parts}))
    with pytest.raises(ControllerError, match=told):
        large.reflect(GOAL, (ROUND.model_copy(update={"parts": before}),))
