"""The server that other tests trust."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

from tests.loopback import faults
from tests.loopback.server import Answer, LoopbackServer, in_turn


def _post(server: LoopbackServer, body: object) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
    connection.request("POST", "/path", json.dumps(body), {"X-Name": "value"})
    return connection.getresponse()


def test_answers_come_in_turn_and_every_request_is_remembered() -> None:
    with LoopbackServer(in_turn(Answer("one"), Answer("two", status=400))) as server:
        first, second = _post(server, 1), _post(server, {"a": 2})
        assert (first.status, first.read()) == (200, b"one")
        assert (second.status, second.read()) == (400, b"two")
    assert server.bodies() == [1, {"a": 2}]
    assert server.paths() == ["/path", "/path"]
    assert server.asked[0].headers["x-name"] == "value"


def test_a_request_beyond_the_script_is_noticed() -> None:
    with LoopbackServer(in_turn()) as server:
        assert _post(server, None).status == 418


def test_a_hang_up_sends_nothing() -> None:
    gone = pytest.raises(http.client.RemoteDisconnected)
    with LoopbackServer(in_turn(faults.HANG_UP)) as server, gone:
        _post(server, None)


def test_a_cut_body_is_half_of_what_was_announced() -> None:
    with LoopbackServer(in_turn(faults.cut(Answer("halves")))) as server:
        response = _post(server, None)
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
    assert caught.value.partial == b"hal"


def test_a_slow_body_ends_with_the_server() -> None:
    with LoopbackServer(in_turn(faults.slow(Answer("never")))) as server:
        response = _post(server, None)
        assert response.status == 200
    with pytest.raises(http.client.IncompleteRead):
        response.read()
