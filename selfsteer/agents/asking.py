"""One typed answer from a large model: asked, checked, repaired once, or refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from selfsteer.agents.budget import CannotGoOn
from selfsteer.agents.models.answers import extract_json
from selfsteer.agents.models.chat_model import Ask, Reply
from selfsteer.agents.models.errors import UnreadableReply
from selfsteer.agents.prompts import load_prompt
from selfsteer.errors import ControllerError
from selfsteer.steering.prompts import Message

Answer = TypeVar("Answer", bound=BaseModel)
MAX_TOKENS = 4_096
_PROBLEM = 1_000  # characters of a validation error that are shown to the model


class Calls(Protocol):
    """Calls that are paid for and on record; see `PaidCalls`."""

    @property
    def model(self) -> str:
        """What is asked, provider and model."""

    def ask(self, step: str, role: str, ask: Ask) -> Reply:
        """The reply to a request, from the ledger where it is there."""

    def prefetch(self, step: str, role: str, asks: Iterable[Ask]) -> None:
        """Get many replies on record before they are asked for one by one."""

    def parsed(self, step: str, role: str, ask: Ask) -> None:
        """Put on record that the reply was understood."""


class NoAnswer(CannotGoOn, ControllerError):
    """A large model answered nothing that can be used; the ledger would bring the same again."""


class Declined(NoAnswer):
    """It refused, or was cut off, or said nothing."""

    def __init__(self, role: str, reply: Reply) -> None:
        said = f": {reply.text.strip()[:200]}" if reply.text.strip() else ""
        why = {"refusal": "refused to answer", "length": "was cut off by its length limit"}
        told = why.get(reply.stop, "gave an empty answer")
        super().__init__(f"the model {reply.model} {told} when asked to {role}{said}")
        self.stop = reply.stop


def ask_typed(
    calls: Calls,
    step: str,
    prompt: str,
    answer: type[Answer],
    fields: Mapping[str, str],
    check: Callable[[Answer], None] = lambda _: None,
    *,
    max_tokens: int = MAX_TOKENS,
) -> Answer:
    """Ask with a prompt file and read the answer as a type; one repair turn shows what was wrong.

    Args:
        step: where in the run, for the ledger.
        prompt: name of the prompt file, which is also the role in the ledger.
        fields: what goes into the prompt.
        check: raises ValueError with a sentence where an answer of the right type cannot be used.
        max_tokens: the longest answer.

    Raises:
        Declined: refused, cut off or empty.
        NoAnswer: not usable after the repair either.
    """
    role = load_prompt(prompt).version
    ask = first_ask(prompt, answer, fields, max_tokens)
    problem = ""
    for _ in range(2):
        reply = calls.ask(step, role, ask)
        if reply.stop in ("refusal", "length", "empty"):
            raise Declined(prompt, reply)
        try:
            found = answer.model_validate(extract_json(reply.text))
            check(found)
        except (UnreadableReply, ValueError) as error:
            problem = _sentence(error)
            ask = _repair(ask, reply.text, problem)
            continue
        calls.parsed(step, role, ask)
        return found
    raise NoAnswer(
        f"the model {reply.model} gave no usable answer when asked to {prompt}, in two attempts; "
        f"the last problem: {problem}"
    )


def first_ask(
    prompt: str, answer: type[BaseModel], fields: Mapping[str, str], max_tokens: int = MAX_TOKENS
) -> Ask:
    """What `ask_typed` asks first."""
    system, task = load_prompt(prompt).fill(**fields)
    schema: dict[str, Any] = answer.model_json_schema()
    return Ask(
        system=system,
        messages=(Message(role="user", content=task),),
        answer_schema=schema,
        answer_name=answer.__name__.lower(),
        max_tokens=max_tokens,
    )


def _repair(ask: Ask, said: str, problem: str) -> Ask:
    """The same again, with what was wrong and the schema, which a server may have passed over.

    Where nothing was said there is no turn to show: APIs refuse an empty one, and some servers two
    turns of the user in a row.
    """
    schema = json.dumps(ask.answer_schema, ensure_ascii=False)
    told, _ = load_prompt("repair").fill(problem=problem, schema=schema)
    *before, task = ask.messages
    if said.strip():
        turns = (Message(role="assistant", content=said), Message(role="user", content=told))
        return ask.model_copy(update={"messages": (*ask.messages, *turns)})
    again = Message(role=task.role, content=f"{task.content}\n\n{told}")
    return ask.model_copy(update={"messages": (*before, again)})


def _sentence(error: Exception) -> str:
    """What was wrong, without the values of the answer, which may be long."""
    if isinstance(error, ValidationError):
        lines = (
            f"{'.'.join(map(str, part['loc'])) or 'answer'}: {part['msg']}"
            for part in error.errors(include_url=False, include_input=False)
        )
        return "; ".join(lines)[:_PROBLEM]
    return str(error)[:_PROBLEM]
