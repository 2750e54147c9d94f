"""Reading the body of an answer of Anthropic's Messages API.

Only what we use is looked at: blocks of kinds that are new, or that nobody asked for, are no reason
to lose an answer that was paid for.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, JsonValue, ValidationError

from selfsteer.agents.models.bodies import unreadable
from selfsteer.agents.models.chat_model import Reply, Stop, Tokens, Usage

_STOPS: dict[str | None, Stop] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


class _Block(BaseModel):
    type: str
    text: JsonValue = None


class _Tokens(BaseModel):
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cache_read_input_tokens: Tokens | None = None
    cache_creation_input_tokens: Tokens | None = None


class _Message(BaseModel):
    type: Literal["message"]
    model: str
    content: list[_Block]
    stop_reason: str | None
    usage: _Tokens | None = None


def read_message(body: str) -> Reply:
    """The reply in a body.

    Raises:
        UnreadableReply: the body is no Message.
    """
    try:
        message = _Message.model_validate_json(body)
    except ValidationError as error:
        raise unreadable("the Anthropic endpoint", body) from error
    texts = [b.text for b in message.content if b.type == "text" and isinstance(b.text, str)]
    text = "".join(texts)
    stop = _STOPS.get(message.stop_reason, "other")
    return Reply(
        text=text,
        stop="empty" if stop == "end" and not text.strip() else stop,
        usage=_usage(message.usage),
        model=message.model,
    )


def _usage(tokens: _Tokens | None) -> Usage:
    if tokens is None or tokens.input_tokens is None or tokens.output_tokens is None:
        return Usage(counted=False)
    return Usage(
        input_tokens=tokens.input_tokens,
        output_tokens=tokens.output_tokens,
        cache_read_tokens=tokens.cache_read_input_tokens or 0,
        cache_write_tokens=tokens.cache_creation_input_tokens or 0,
    )
