"""Models behind Anthropic's Messages API, or a server that speaks it.

A long answer is streamed: bytes then arrive all the while, so that a short time-out tells a dead
server from a long answer. The body of a streamed answer is the message that the SDK put together,
in the same form as one that was not streamed; a stream that ends before the message does counts as
a call without an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import anthropic
from pydantic import JsonValue

from selfsteer.agents.models.allow import check_allowed
from selfsteer.agents.models.anthropic_batch import (
    named,
    read_batch_id,
    read_results,
    results_text,
    wait_for_end,
)
from selfsteer.agents.models.anthropic_lookup import look_for
from selfsteer.agents.models.anthropic_reply import read_message
from selfsteer.agents.models.chat_model import Ask, Reply, do_nothing
from selfsteer.agents.models.endpoint import Endpoint, check_model_name, key_from_environment
from selfsteer.agents.models.errors import CallAmbiguous, ModelUnavailable
from selfsteer.agents.models.outcomes import NotingClient, told_apart
from selfsteer.agents.models.waits import TIMEOUT
from selfsteer.errors import ControllerError

KEY_VARIABLE = "ANTHROPIC_API_KEY"
# At some fifty tokens a second this many arrive well within the default time-out.
STREAM_ABOVE = 4_096
# What the SDK stumbles over when an event of a stream is cut or malformed.
_BROKEN_EVENT = (ValueError, TypeError, LookupError, AttributeError)


class AnthropicModel:
    """A chat model, and a batch model, through the anthropic SDK.

    Args:
        model: its name.
        base_url: another server; None leaves it to `ANTHROPIC_BASE_URL` and the SDK.
        timeout: seconds without a byte after which a call is given up.
        max_retries: how often the SDK repeats a look at a batch, which costs nothing; what pays is
            never repeated by it.
        poll_seconds: how long to wait between looks at a batch.

    Raises:
        ControllerError: the name is blank, or `ANTHROPIC_API_KEY` is not set.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        timeout: float = TIMEOUT,
        max_retries: int = 2,
        poll_seconds: float = 10.0,
    ) -> None:
        check_model_name(model, "Anthropic")
        key = key_from_environment(KEY_VARIABLE)
        if key is None:
            raise ControllerError(
                f"Anthropic's models need a key: put it into the environment as {KEY_VARIABLE}."
            )
        self._model = model.strip()
        self._endpoint = Endpoint("the Anthropic endpoint", KEY_VARIABLE, key)
        http = NotingClient(timeout)
        self._client = anthropic.Anthropic(
            api_key=key,
            base_url=base_url,
            max_retries=0,  # see `outcomes`
            timeout=http.timeout,
            http_client=http,
        )
        self._looking = self._client.with_options(max_retries=max_retries)
        self._poll_seconds = poll_seconds

    @property
    def name(self) -> str:
        """`anthropic/` and the model's name."""
        return f"anthropic/{self._model}"

    def request(self, ask: Ask) -> dict[str, JsonValue]:
        """As in `ChatModel`; the schema as the API takes it, limits that it ignores in words."""
        schema = anthropic.transform_schema(cast("dict[str, Any]", ask.answer_schema))
        request: dict[str, JsonValue] = {
            "model": self._model,
            "max_tokens": ask.max_tokens,
            "messages": [{"role": m.role, "content": m.content} for m in ask.messages],
            "output_config": {"format": {"type": "json_schema", "schema": schema}},
        }
        if ask.system:
            cached: dict[str, JsonValue] = {"type": "ephemeral"}
            request["system"] = [{"type": "text", "text": ask.system, "cache_control": cached}]
        if ask.max_tokens > STREAM_ABOVE:
            request["stream"] = True
        return request

    def send(self, request: Mapping[str, JsonValue]) -> str:
        """As in `ChatModel`."""
        check_allowed(self._client.base_url.host)
        arguments: Any = {name: value for name, value in request.items() if name != "stream"}
        with told_apart(self._endpoint, anthropic.AnthropicError):
            if not request.get("stream"):
                return self._client.messages.with_raw_response.create(**arguments).text()
            body = self._stream(arguments)
        if body is None:
            raise CallAmbiguous(
                "The Anthropic endpoint broke off its stream; it may have been paid, so decide "
                "whether to ask again."
            )
        return body

    def read(self, body: str) -> Reply:
        """As in `ChatModel`."""
        return read_message(body)

    def start_batch(self, requests: Sequence[Mapping[str, JsonValue]], mark: str) -> str:
        """As in `BatchModel`; requests are told apart by their place."""
        check_allowed(self._client.base_url.host)
        entries: Any = [
            {
                "custom_id": named(mark, place),
                "params": {k: v for k, v in request.items() if k != "stream"},
            }
            for place, request in enumerate(requests)
        ]
        with told_apart(self._endpoint, anthropic.AnthropicError):
            raw = self._client.messages.batches.with_raw_response
            body = raw.create(requests=entries).text()
        return read_batch_id(body)

    def finish_batch(
        self, batch_id: str, count: int, between: Callable[[], None] = do_nothing
    ) -> list[str | ModelUnavailable]:
        """As in `BatchModel`."""
        check_allowed(self._client.base_url.host)
        wait_for_end(self._looking, self._endpoint, batch_id, self._poll_seconds, between)
        return read_results(self._looking, self._endpoint, batch_id, count)

    def find_batch(
        self, mark: str, count: int, since: datetime, between: Callable[[], None] = do_nothing
    ) -> str | None:
        """As in `BatchModel`."""
        check_allowed(self._client.base_url.host)

        def results(batch_id: str) -> str:
            wait_for_end(self._looking, self._endpoint, batch_id, self._poll_seconds, between)
            return results_text(self._looking, self._endpoint, batch_id)

        return look_for(self._looking, self._endpoint, mark, count, since, results)

    def _stream(self, arguments: Any) -> str | None:
        """The body of a streamed answer; None where the stream ends before its message."""
        with self._client.messages.stream(**arguments) as stream:
            if "event-stream" not in stream.response.headers.get("content-type", ""):
                stream.response.read()  # a server that does not stream, or no such API at all
                return stream.response.text
            try:
                if not any(event.type == "message_start" for event in stream):
                    return None
                message = stream.get_final_message()
            except _BROKEN_EVENT:
                return None
            if message.stop_reason is None:
                return None
            # Blocks of a kind that this SDK does not know are kept as they are, without a warning.
            return message.to_json(indent=None, warnings=False)
