"""What to say of a body that is no reply."""

from __future__ import annotations

from selfsteer.agents.models.errors import UnreadableReply


def unreadable(label: str, body: str) -> UnreadableReply:
    """The error for a body of a server, `label` being the server as a subject in mid-sentence."""
    start = body.lstrip()[:1]
    if not start:
        what = "an empty body"
    elif start == "<":
        what = "a web page"
    elif start in "{[":
        what = "JSON that is cut or of another kind"
    else:
        what = "text of another kind"
    return UnreadableReply(
        f"{label[0].upper()}{label[1:]} answered with {what} instead of a reply, so check the base "
        "URL."
    )
