"""Ways to tell a student of simulated users: vectors and prompts; and what judges."""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.agents.users.context import Context, as_context
from selfsteer.scenarios.experiments.user_vectors.measures import means
from selfsteer.scenarios.experiments.user_vectors.people import Person, others
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.arms import Arm
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.users.history import History
from selfsteer.steering.users.objective import Condition
from selfsteer.steering.vectors import SteeringVector

STRANGERS = 20  # other users whose vectors stand for a shuffled one


def messages_of(people: Sequence[Person]) -> list[History]:
    """The messages that judge, without choices and ratings."""
    return [History(person.future.turns) for person in people]


def feedback_of(people: Sequence[Person]) -> list[History]:
    """The choices and ratings that judge, without messages."""
    return [History((), person.future.choices, person.future.ratings) for person in people]


def with_vectors(vectors: Sequence[SteeringVector], dose: float = 1.0) -> list[Arm]:
    """A vector for each user."""
    return [[Condition(user_plan(vector, dose))] for vector in vectors]


def shuffled(people: Sequence[Person], vectors: Sequence[SteeringVector]) -> list[Arm]:
    """For each user the vectors of twenty users with other profiles."""
    plans = [Condition(user_plan(vector)) for vector in vectors]
    return [
        [plans[place] for place in others(people, number, STRANGERS)]
        for number in range(len(people))
    ]


def in_context(student: Student, people: Sequence[Person]) -> tuple[list[Arm], list[Context]]:
    """The raw latest session, with the assistant's replies, as much as the student can see."""
    contexts = [as_context(student, one.sessions[-1], one.future) for one in people]
    return [[Condition(before=context.messages)] for context in contexts], contexts


def written(people: Sequence[Person], wording: int) -> list[Arm]:
    """The true profile as a system prompt, in one of the ways to write it down."""
    texts = [person.user.written_profiles[wording] for person in people]
    return [[Condition(before=(Message(role="system", content=text),))] for text in texts]


def best_wording(student: Student, people: Sequence[Person]) -> int:
    """The way to write profiles down that predicts these users' messages best."""
    names = [str(n) for n in range(len(people[0].user.written_profiles))]
    arms = {name: written(people, int(name)) for name in names}
    found = means(student, messages_of(people), arms)["messages"]
    return int(max(names, key=lambda name: found[name].mean))
