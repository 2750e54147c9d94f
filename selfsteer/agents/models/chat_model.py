"""What a controller asks of a large model, and what it gets back, whoever runs the model.

A call has three steps, so that a ledger can stand between them: `request` makes what goes out,
`send` brings back the body as it came, and `read` understands it. Only `send` costs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import Field, JsonValue, field_validator

from selfsteer.agents.models.errors import ModelUnavailable
from selfsteer.agents.types import Record
from selfsteer.steering.prompts import Message

Tokens = Annotated[int, Field(ge=0)]

Stop = Literal["end", "length", "refusal", "empty", "other"]
"""Why a model stopped: it was done, it ran out of tokens, it declined, it said nothing, or none of
these; after `other` the text may be whole or not."""


class Ask(Record):
    """What a controller wants answered.

    Attributes:
        system: the stable beginning, which providers cache where they can.
        messages: the conversation, without system messages, which `system` is for.
        answer_schema: JSON schema of the answer.
        answer_name: short name of the answer's type.
        max_tokens: length limit of the answer.
    """

    system: str
    messages: tuple[Message, ...] = Field(min_length=1)
    answer_schema: dict[str, JsonValue]
    answer_name: str = Field(pattern=r"^[a-z_]+$", max_length=64)
    max_tokens: int = Field(ge=1)

    @field_validator("messages")
    @classmethod
    def _no_system(cls, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        if any(message.role == "system" for message in messages):
            raise ValueError("messages are of the user or the assistant; system has its own field")
        return messages


class Usage(Record):
    """Tokens of one call; each is counted in one field only.

    Attributes:
        input_tokens: read afresh.
        output_tokens: written, reasoning included.
        cache_read_tokens: read from the provider's cache.
        cache_write_tokens: read, and put into the cache.
        counted: whether the server said so; without its count the numbers are 0 and mean nothing.
    """

    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cache_read_tokens: Tokens = 0
    cache_write_tokens: Tokens = 0
    counted: bool = True


class Reply(Record):
    """What a model said.

    Attributes:
        text: the answer's text, without reasoning; a refusal may have one too.
        stop: why it ended.
        usage: tokens.
        model: the model as the server names it.
    """

    text: str
    stop: Stop
    usage: Usage
    model: str


class ChatModel(Protocol):
    """A model that answers in JSON; `name` is its provider and its own name, with a slash."""

    @property
    def name(self) -> str: ...

    def request(self, ask: Ask) -> dict[str, JsonValue]:
        """What goes out for `ask`, without credentials: the same for the same `ask`."""
        ...

    def send(self, request: Mapping[str, JsonValue]) -> str:
        """The body of the answer, as it came.

        Raises:
            CallRefused: there is no answer, and it was certainly not paid.
            CallAmbiguous: there is no answer, and it may have been paid.
        """
        ...

    def read(self, body: str) -> Reply:
        """Understand a body, fresh or replayed; pure.

        Raises:
            UnreadableReply: the body is no reply of this API.
        """
        ...


def do_nothing() -> None:
    """What is done between two looks at a batch where nothing breaks the wait off."""


class BatchModel(ChatModel, Protocol):
    """A model that also answers many requests together, later and cheaper."""

    def start_batch(self, requests: Sequence[Mapping[str, JsonValue]], mark: str) -> str:
        """Hand requests in; the id that comes back finds the batch again after a crash.

        Args:
            mark: letters and digits, 40 at most, that no other batch has; see `find_batch`.

        Raises:
            CallRefused: the batch was certainly not accepted.
            CallAmbiguous: it may have been.
        """
        ...

    def finish_batch(
        self, batch_id: str, count: int, between: Callable[[], None] = do_nothing
    ) -> list[str | ModelUnavailable]:
        """Wait for a batch of `count` requests.

        Args:
            between: called between two looks at the batch; what it raises breaks the wait off.

        Returns:
            for each request, in order, a body for `read`, or why there is none.

        Raises:
            BatchGone: the results can be had no more.
            CallAmbiguous: the results cannot be had now.
        """
        ...

    def find_batch(
        self, mark: str, count: int, since: datetime, between: Callable[[], None] = do_nothing
    ) -> str | None:
        """The id of a batch of `count` requests that was handed in with this mark; waits until it
        has ended, because its requests do not show before.

        Args:
            since: when it was handed in, if it was.
            between: as in `finish_batch`.

        Returns:
            None where there is none, or where the provider lists none.

        Raises:
            CallAmbiguous: the provider cannot be asked now.
        """
        ...
