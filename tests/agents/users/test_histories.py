"""Observations as a student reads them."""

from __future__ import annotations

from selfsteer.agents.users.context import conversation
from selfsteer.agents.users.histories import history_of
from selfsteer.memory.store import Memory
from selfsteer.memory.users import Acceptance, Edit, Message, Observation, Preference, Rating

ASKED = [{"role": "user", "content": "hi"}]


def place(order: int, scope: str = "private") -> dict[str, object]:
    return {"session": "a", "order": order, "source": "api", "scope": scope}


def stored(memory: Memory, *observations: Observation) -> list:  # type: ignore[type-arg]
    memory.users.add("ann")
    memory.users.observe("ann", observations)
    return memory.users.observations("ann")


def test_turns_know_what_was_said_before_in_their_session(memory: Memory) -> None:
    said = [("user", "one"), ("assistant", "yes"), ("user", " "), ("user", "two")]
    found = history_of(
        stored(
            memory,
            *(Message(**place(n), role=role, content=text) for n, (role, text) in enumerate(said)),
            Message(session="b", order=0, source="api", role="user", content="three"),
        )
    )
    assert [turn.words for turn in found.turns] == ["one", "two", "three"]
    assert [len(turn.before) for turn in found.turns] == [0, 3, 0]
    assert all(turn.source for turn in found.turns)


def test_a_session_that_goes_on_after_another_began_is_told_once(memory: Memory) -> None:
    def said(session: str, order: int, role: str) -> Observation:
        content = f"{session}{order}"
        return Message(session=session, order=order, source="api", role=role, content=content)

    memory.users.add("ann")
    for session, orders in (("a", (0,)), ("b", (0,)), ("a", (1, 2)), ("b", (1, 2))):
        memory.users.observe(
            "ann", [said(session, n, ("user", "assistant")[n % 2]) for n in orders]
        )
    told = conversation(history_of(memory.users.observations("ann")))
    assert [message.content for message in told] == ["a0", "b0", "a1", "a2", "b1", "b2"]


def test_edits_and_regenerated_replies_are_choices(memory: Memory) -> None:
    found = history_of(
        stored(
            memory,
            Preference(**place(0), prompt=ASKED, chosen="a", rejected="b"),
            Edit(**place(1), prompt=ASKED, before="c", after="d"),
            Acceptance(**place(2), prompt=ASKED, reply="e", accepted=False),
            Acceptance(**place(3), prompt=ASKED, reply="f", accepted=True),
            Rating(**place(4), prompt=ASKED, reply="g", rating=2.0),
        )
    )
    assert [(one.chosen, one.rejected) for one in found.choices] == [
        ("a", "b"),
        ("d", "c"),
        ("f", "e"),
    ]
    assert [one.rating for one in found.ratings] == [2.0]


def test_a_regenerated_reply_comes_from_both_observations(memory: Memory) -> None:
    """Else a vector of both would be as shared as the one that was turned down."""
    observed = stored(
        memory,
        Acceptance(**place(0, "shared"), prompt=ASKED, reply="e", accepted=False),
        Acceptance(**place(1), prompt=ASKED, reply="f", accepted=True),
        Preference(**place(2), prompt=ASKED, chosen="a", rejected="b"),
    )
    names = [one.id for one in observed]
    found = history_of(observed)
    assert [one.sources for one in found.choices] == [(names[0], names[1]), (names[2],)]
    assert found.sources == set(names)
    assert history_of(observed, shared_only=True).choices == ()


def test_a_regenerated_reply_without_an_accepted_one_says_nothing(memory: Memory) -> None:
    reply = Acceptance(**place(0), prompt=ASKED, reply="e", accepted=False)
    assert history_of(stored(memory, reply)).choices == ()


def test_only_what_is_shared_goes_into_what_is_pooled(memory: Memory) -> None:
    found = history_of(
        stored(
            memory,
            Message(**place(0, "private"), role="user", content="secret"),
            Message(**place(1, "shared"), role="user", content="open"),
            Preference(**place(2, "private"), prompt=ASKED, chosen="a", rejected="b"),
        ),
        shared_only=True,
    )
    assert [turn.words for turn in found.turns] == ["open"]
    assert found.turns[0].before == ()
    assert found.choices == ()
