"""A conversation with a student whose steering may change between turns: by its own call, or by a
person's.

Before each reply the student may be asked how it wants to be steered. It is asked unsteered, or a
strong vector could never be taken back by the one whom it steers. What it says is read as a call of
one tool and checked against an allow-list; what does not pass is refused, and logged as refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from selfsteer.agents.active_vectors import Active, ActiveVectors
from selfsteer.agents.prompts import load_prompt
from selfsteer.agents.steer_choosers import Chooser, Weighed, longest_call
from selfsteer.agents.steer_tool import Call, Steerable, allow, call_text, read_call
from selfsteer.agents.types import Record
from selfsteer.errors import ControllerError, StudentError
from selfsteer.steering.encoding import encode
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Message, Prompt

_PROMPT = "steer"


class CallRecord(Record):
    """A call and what became of it.

    Attributes:
        by: who made it.
        prompt: name and version of the message that asked for it; None for a person's call.
        asked: the call as it was written.
        call: the call as it was read; None where it could not be.
        outcome: whether it was carried out.
        reason: why not; empty where it was.
        scores: what each possible call came to, where the student weighed them.
    """

    by: Literal["student", "person"]
    prompt: str | None
    asked: str
    call: Call | None
    outcome: Literal["done", "refused"]
    reason: str = ""
    scores: tuple[Weighed, ...] = ()


class TurnEvent(Record):
    """One turn of a conversation, in JSON values.

    Attributes:
        turn: its number, from 0.
        user: what the person said.
        calls: those made since the last reply, in order.
        active: what steered the reply.
        plan: the same, as `Plan.describe` gives it.
        reply: what the student said.
        finished: whether the student ended its reply.
        forgotten: messages at the head of the conversation that its context had no room for.
    """

    turn: int
    user: str
    calls: tuple[CallRecord, ...]
    active: tuple[Active, ...]
    plan: dict[str, Any]
    reply: str
    finished: bool
    forgotten: int


class Conversation:
    """Turns of a person and a student, and what steers the student.

    Args:
        student: who replies.
        allowed: the vectors that may be steered with; nobody can name another.
        always: what steers every reply, whatever is called; nobody can take it back.
        chooser: how the student makes its calls; None where only the person makes them.
        system: a system message of the conversation.
        max_new_tokens: limit on each reply.
        temperature: of the replies; 0 takes the likeliest token each time.
        seed: of the replies; each turn draws from a stream of its own.
        listen: called with the event of each turn.

    Raises:
        ControllerError: nothing is allowed and nothing always steers, or two vectors have one
            name.
        PlanError, VectorError: a vector does not fit the student.
    """

    def __init__(
        self,
        student: Student,
        allowed: Sequence[Steerable],
        *,
        always: Plan | None = None,
        chooser: Chooser | None = None,
        system: str | None = None,
        max_new_tokens: int = 96,
        temperature: float = 0.8,
        seed: int = 0,
        listen: Callable[[TurnEvent], None] | None = None,
    ) -> None:
        self._student, self._chooser = student, chooser
        self._always = always or Plan.none()
        self._allowed = allow(allowed) if allowed or not self._always.edits else {}
        edits = (*self._always.edits, *(one.at(one.low) for one in allowed))
        Plan(edits).check(student)
        self._active = ActiveVectors(self._allowed)
        self._system = system
        self._max_new_tokens, self._temperature, self._seed = max_new_tokens, temperature, seed
        self._listen = listen
        self._history: tuple[Message, ...] = ()
        self._calls: tuple[CallRecord, ...] = ()

    @property
    def history(self) -> tuple[Message, ...]:
        """What was said, without the system message."""
        return self._history

    @property
    def active(self) -> tuple[Active, ...]:
        """What would steer a reply now."""
        return self._active.now

    def call(self, call: Call) -> CallRecord:
        """A call of the person, under the same rules as the student's."""
        return self._carry_out(call_text(call), "person")

    def choose(self, text: str) -> CallRecord | None:
        """Let the student make its call before it answers `text`; None where it makes none.

        Raises:
            GrammarError: the chooser needs a package that is not installed.
            StudentError: the message leaves no room for a call in the student's context.
        """
        if self._chooser is None:
            return None
        names = [one.vector for one in self.active]
        system = "\n\n".join(part for part in (self._system, self._tool()) if part)
        prompt, _ = self._prompt(system, text, longest_call(self._allowed, names))
        choice = self._chooser.choose(self._student, prompt, self._allowed, names)
        return self._carry_out(choice.text, "student", choice.scores)

    def reply(self, text: str) -> TurnEvent:
        """The student's reply to `text`, steered by what is active.

        Raises:
            PlanError: a limit or temperature that makes no sense.
            SelectorError: an allowed vector whose selector counts from the end of a reply.
            StudentError: the message leaves no room for a reply in the student's context.
        """
        prompt, forgotten = self._prompt(self._system, text, self._max_new_tokens)
        plan = Plan((*self._always.edits, *self._active.plan.edits))
        turn = len(self._history) // 2
        (said,) = generate(
            self._student,
            [prompt],
            plan,
            max_new_tokens=self._max_new_tokens,
            temperature=self._temperature,
            seed=self._seed + turn,
        )
        event = TurnEvent(
            turn=turn,
            user=text,
            calls=self._calls,
            active=self.active,
            plan=plan.describe(),
            reply=said.text,
            finished=said.finished,
            forgotten=forgotten,
        )
        asked, answered = prompt.messages[-1], Message(role="assistant", content=said.text)
        self._history, self._calls = (*self._history, asked, answered), ()
        self._active.replied()
        if self._listen is not None:
            self._listen(event)
        return event

    def say(self, text: str) -> TurnEvent:
        """A turn: the student's call, where it makes one, and its reply.

        Raises:
            GrammarError, PlanError, SelectorError, StudentError: as `choose` and `reply` do.
        """
        self.choose(text)
        return self.reply(text)

    def _carry_out(
        self, asked: str, by: Literal["student", "person"], scores: tuple[Weighed, ...] = ()
    ) -> CallRecord:
        """Read a call, do what it asks if it may, and write down what became of it."""
        call, reason = None, ""
        try:
            call = read_call(asked)
            self._active.carry_out(call)
        except ControllerError as refusal:
            reason = str(refusal)
        record = CallRecord(
            by=by,
            prompt=load_prompt(_PROMPT).version if by == "student" else None,
            asked=asked,
            call=call,
            outcome="refused" if reason else "done",
            reason=reason,
            scores=scores,
        )
        self._calls = (*self._calls, record)
        return record

    def _tool(self) -> str:
        """The message that explains the tool, with what it may be called with now."""
        vectors = (f"- {one.name}: {one.low:g} to {one.high:g}" for one in self._allowed.values())
        active = (f"{one.vector} {one.strength:g} ({one.scope})" for one in self.active)
        parts = load_prompt(_PROMPT).fill(
            vectors="\n".join(vectors), active=", ".join(active) or "nothing"
        )
        return "\n\n".join(parts)

    def _prompt(self, system: str | None, text: str, room: int) -> tuple[Prompt, int]:
        """The conversation up to `text`, and how many of its oldest messages had no place."""
        head = () if system is None else (Message(role="system", content=system),)
        limit = self._student.context_length
        asked = Message(role="user", content=text)
        for forgotten in range(0, len(self._history) + 1, 2):
            prompt = Prompt(messages=(*head, *self._history[forgotten:], asked))
            if limit is None or len(encode(self._student, prompt).ids) + room <= limit:
                return prompt, forgotten
        raise StudentError(
            f"The message leaves no room for {room} tokens in the {limit} that "
            f"{self._student.name} reads; shorten it, or ask for shorter replies."
        )
