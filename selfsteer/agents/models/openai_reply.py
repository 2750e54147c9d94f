"""Reading the body of an answer of a chat completions API, whoever serves it.

Servers differ in what they add and in what they leave null, so only what we use is looked at.
"""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from selfsteer.agents.models.bodies import unreadable
from selfsteer.agents.models.chat_model import Reply, Stop, Tokens, Usage

_STOPS: dict[str | None, Stop] = {
    "stop": "end",
    "eos": "end",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "refusal",
}


class _Part(BaseModel):
    type: str = "text"
    text: str | None = None


class _Message(BaseModel):
    content: str | list[_Part] | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Details(BaseModel):
    cached_tokens: Tokens | None = None


class _Tokens(BaseModel):
    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    prompt_tokens_details: _Details | None = None


class _Completion(BaseModel):
    model: str = ""
    choices: list[_Choice]
    usage: _Tokens | None = None


def read_completion(body: str) -> Reply:
    """The reply in a body.

    Raises:
        UnreadableReply: the body is no chat completion.
    """
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError as error:
        raise unreadable("the OpenAI-compatible endpoint", body) from error
    usage = _usage(completion.usage)
    if not completion.choices:
        return Reply(text="", stop="empty", usage=usage, model=completion.model)
    choice = completion.choices[0]
    text, stop = _text(choice.message), _STOPS.get(choice.finish_reason, "other")
    if choice.message.refusal:
        text, stop = choice.message.refusal, "refusal"
    elif stop == "end" and not text.strip():
        stop = "empty"
    return Reply(text=text, stop=stop, usage=usage, model=completion.model)


def _text(message: _Message) -> str:
    if isinstance(message.content, list):
        return "".join(part.text or "" for part in message.content if part.type == "text")
    return message.content or ""


def _usage(tokens: _Tokens | None) -> Usage:
    if tokens is None or tokens.prompt_tokens is None or tokens.completion_tokens is None:
        return Usage(counted=False)
    details = tokens.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details is not None else 0
    return Usage(
        input_tokens=max(0, tokens.prompt_tokens - cached),
        output_tokens=tokens.completion_tokens,
        cache_read_tokens=cached,
    )
