"""Conversations without a name of their own: which session on record one of them goes on from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

LENGTH = 32  # hex digits of the name


def beginnings(messages: Sequence[str]) -> list[str]:
    """The name of the first message, of the first two, and so on: that of all comes last.

    Args:
        messages: each as the JSON that is stored of it.
    """
    names, so_far = [], hashlib.sha256(b"[")
    for place, message in enumerate(messages):
        so_far.update(f",{message}".encode() if place else message.encode())
        whole = so_far.copy()
        whole.update(b"]")
        names.append(whole.hexdigest()[:LENGTH])
    return names


class Conversations:
    """The sessions of a user that are named by what was said in them.

    The name is that of what the session held when it came. It may have gone on since, so that a
    conversation belongs to it which begins with all of it, or which is its beginning. Sessions that
    somebody named are left alone: whoever named them says what belongs to them.
    """

    def __init__(self, said: Mapping[str, Sequence[str]]) -> None:
        """
        Args:
            said: by session, its messages in order, each as the JSON that is stored of it.
        """
        self._sessions = set(said)
        self._beginning: dict[str, str] = {}
        self._whole: dict[str, str] = {}
        for session, messages in said.items():
            names = beginnings(messages)
            if session in names:
                self._add(session, names)

    def session_of(self, messages: Sequence[str], name: str) -> str:
        """The session that a conversation belongs to, or the name of a new one for it.

        Args:
            name: another that it may be on record by; it is used if it is, or without messages.
        """
        names = beginnings(messages)
        if not names or name in self._sessions:
            return name
        if names[-1] in self._beginning:
            return self._beginning[names[-1]]
        held = next((one for one in reversed(names) if one in self._whole), None)
        session = names[-1] if held is None else self._whole.pop(held)
        self._add(session, names)
        return session

    def _add(self, session: str, names: Sequence[str]) -> None:
        self._sessions.add(session)
        self._whole[names[-1]] = session
        for name in names:
            self._beginning.setdefault(name, session)
