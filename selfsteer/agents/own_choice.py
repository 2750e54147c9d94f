"""What follows after a round, by a student's log-probabilities over what the rules leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfsteer.agents.briefing import describe_history, describe_thresholds
from selfsteer.agents.prompts import load_prompt
from selfsteer.agents.search_spaces import same_vectors
from selfsteer.agents.types import Action, Decision, Goal, RoundSummary
from selfsteer.agents.weighing import weigh
from selfsteer.errors import StudentError
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt

# What each action is called to the student, and when it is the right one.
OPTIONS: Mapping[Action, tuple[str, str]] = {
    "revise_data": ("Make new examples.", "the replies do not do what the goal asks"),
    "narrow": ("Search near the best.", "the best of the round is almost good enough"),
    "widen": ("Search further away.", "the best of the round is at the edge of what was tried"),
}
MOST_AGAIN = 2  # rounds in a row that go on with the same vectors


def open_actions(decision: Decision, history: Sequence[RoundSummary]) -> tuple[Action, ...]:
    """What may follow the last round, where the rules have come to a decision.

    That a candidate is confirmed, that pairs are missing and that nothing helps are matters of
    figures. Open is only how to go on from vectors that do something, but not enough.
    """
    last = history[-1]
    if decision.action != "revise_data" or last.best is None or last.space is None:
        return (decision.action,)
    if len(same_vectors(history[:-1])) >= MOST_AGAIN:
        return (decision.action,)
    return tuple(OPTIONS)


def choose_action(
    student: Student, goal: Goal, decision: Decision, history: Sequence[RoundSummary]
) -> Decision:
    """The open action that the round speaks for most; of equal ones that of the rules.

    Theirs it is too, with the reason, where the round is too long for the student's context.
    """
    actions = open_actions(decision, history)
    if len(actions) == 1:
        return decision
    known = [OPTIONS[action] for action in actions]
    system, task = load_prompt("next").fill(
        thresholds=describe_thresholds(goal.thresholds),
        options="\n".join(f"- {name} This is for when {when}." for name, when in known),
        goal=goal.text,
        history=describe_history(history[-1:]),
    )
    names = [name for name, _ in known]
    try:
        scores = weigh(student, Prompt.chat(task, system=system), names)
    except StudentError as error:
        told = f"By the rules, because the student could not choose: {error}"
        return Decision(action=decision.action, reason=f"{decision.reason} {told}")
    best = max(range(len(actions)), key=lambda place: scores[place])
    return Decision(
        action=actions[best],
        reason=f"{decision.reason} By the student's own choice: {names[best]}",
    )
