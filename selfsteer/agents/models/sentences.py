"""The one sentence that says why there is no answer, and what to do."""

from __future__ import annotations

import httpx2

from selfsteer.agents.models.endpoint import Endpoint

_ADVICE = {
    401: "put a valid key into {variable}",
    402: "the account needs credit",
    403: "use a key that may use this model, or another model",
    404: "check the model's name and the base URL",
    413: "ask for less at once",
    429: "wait a while, or raise the account's limits",
    503: "try again later",
    529: "it is overloaded, so try again later",
}
_OTHER_ADVICE = "change the request or the model"
# A server that turns down a key may repeat part of it.
_UNQUOTED = {401, 403}
_QUOTED_LENGTH = 200
_MAYBE_PAID = "it may have been paid, so decide whether to ask again"
_TOO_SLOW = "sent nothing until its time was up, which a longer time-out may mend"


def refusal(endpoint: Endpoint, error: Exception) -> str:
    """Of a call that was certainly not paid."""
    status = _status(error)
    if status is None:
        return f"{_subject(endpoint)} cannot be reached; check the base URL and the network."
    quoted = "" if status in _UNQUOTED else server_says(endpoint, getattr(error, "body", None))
    other = "give the base URL that it points to" if status < 400 else _OTHER_ADVICE
    advice = _ADVICE.get(status, other)
    return (
        f"{_subject(endpoint)} refused the call with status {status}{quoted}; "
        f"{advice.format(variable=endpoint.key_variable)}."
    )


def accident(endpoint: Endpoint, error: Exception) -> str:
    """Of a call that may have been paid."""
    status = _status(error)
    # An error within a stream has the status of the stream, which began well.
    if status is not None and status >= 400:
        what = f"failed with status {status}"
    elif has_cause(error, (httpx2.TimeoutException,)):
        what = _TOO_SLOW
    else:
        what = "broke off its answer"
    return f"{_subject(endpoint)} {what}; {_MAYBE_PAID}."


def server_says(endpoint: Endpoint, body: object) -> str:
    """The words in an error's body, in brackets after a space; nothing where there are none."""
    inner = body.get("error", body) if isinstance(body, dict) else None
    message = inner.get("message") if isinstance(inner, dict) else inner
    if not isinstance(message, str):
        return ""
    line = " ".join(endpoint.without_key(message).split())
    text = "".join(character for character in line if character.isprintable())
    shown = text if len(text) <= _QUOTED_LENGTH else f"{text[:_QUOTED_LENGTH]}…"
    return f" ({shown.rstrip('.')})" if shown else ""


def _status(error: Exception) -> int | None:
    """The HTTP status in an SDK's error; None where there was no answer."""
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _subject(endpoint: Endpoint) -> str:
    return endpoint.label[0].upper() + endpoint.label[1:]


def has_cause(error: BaseException | None, kinds: tuple[type[Exception], ...]) -> bool:
    """Whether an error is of one of these kinds, or was raised because of one that is."""
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__
    return False
