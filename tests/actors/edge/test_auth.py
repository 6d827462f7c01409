from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from actors.edge.auth import TOKEN_FILE, BindRefused, Guard, token_of
from actors.edge.call import ANYBODY, OPERATOR, Call
from actors.edge.errors import HttpError
from actors.edge.parser import HttpRequest
from actors.edge.routing import get, post


def request(method: str = "GET", upgrade: bool = False, **headers: str) -> HttpRequest:
    named = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
    named.setdefault(b"host", b"localhost:8001")
    made = HttpRequest(method.encode(), b"/", b"", named)
    made.upgrade = upgrade
    return made


async def handler(call: Call) -> None: ...


OPEN = get("/open", handler)
CLOSED = post("/closed", handler)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8001", "127.0.0.1:1", "[::1]", "[::1]:8001", " localhost "])
def test_loopback_is_called_by_its_names_alone(host: str) -> None:
    Guard("t").admit(request(host=host))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("192.168.1.1", 403),
        ("127.0.0.2", 403),
        ("", 400),
        (":80", 400),
        ("localhost:80:80", 400),
        ("localhost:x", 400),
        ("localhost:", None),
        ("[::1", 400),
        ("[::1]x", 400),
        ("user@localhost", 400),
        ("localhost/a", 400),
        ("localhost, evil", 400),
        ("loc\xe4lhost", 400),
    ],
)
def test_a_web_page_of_another_name_gets_nothing_by_pointing_that_name_at_loopback(
    host: str, status: int | None
) -> None:
    guard = Guard("t")
    if status is None:
        guard.admit(request(host=host))
        return
    for _ in range(2):  # a refusal must not be remembered as an admission
        with pytest.raises(HttpError) as refused:
            guard.admit(request(host=host))
        assert refused.value.status == status


@pytest.mark.parametrize("origin", ["http://localhost:8001", "HTTP://LOCALHOST:8001", "https://friend.example"])
def test_own_pages_and_named_origins_may_call(origin: str) -> None:
    Guard("t", origins=["https://friend.example/"]).admit(request(origin=origin))


@pytest.mark.parametrize(
    "origin",
    ["null", "http://evil.example", "http://localhost:3000", "http://localhost", "http://127.0.0.1:8001",
     "file://", "", "localhost:8001", "http://localhost:8001.evil.example", "chrome-extension://localhost:8001"],
)  # fmt: skip
def test_pages_of_other_origins_may_not_call(origin: str) -> None:
    with pytest.raises(HttpError) as refused:
        Guard("t").admit(request(origin=origin))
    assert refused.value.status == 403


def test_what_changes_state_asks_for_the_token() -> None:
    guard = Guard("right")
    assert guard.principal(request(), OPEN) == ANYBODY
    assert guard.principal(request(authorization="Bearer right"), CLOSED) == OPERATOR
    assert guard.principal(request(authorization="bearer  right "), CLOSED) == OPERATOR
    assert guard.principal(request(authorization="Bearer right"), OPEN) == OPERATOR
    assert guard.principal(request(authorization="Bearer wrong"), OPEN) == ANYBODY
    for wrong in (
        "Bearer wrong",
        "Bearer",
        "Bearer ",
        "right",
        "Basic right",
        "Bearer right!",
        "Bearer righ",
        "",
        "Bearer ä",
    ):
        with pytest.raises(HttpError) as refused:
            guard.principal(request(authorization=wrong), CLOSED)
        assert refused.value.status == 401
        assert dict(refused.value.headers)["www-authenticate"] == "Bearer"
    with pytest.raises(HttpError):
        guard.principal(request(), CLOSED)


def test_a_browser_hands_the_token_of_a_websocket_over_as_a_subprotocol() -> None:
    guard = Guard("right", always=True)
    offer = request(upgrade=True, sec_websocket_protocol="troupe, bearer.right")
    assert guard.principal(offer, OPEN) == OPERATOR
    with pytest.raises(HttpError):
        guard.principal(request(upgrade=True, sec_websocket_protocol="troupe, bearer.wrong"), OPEN)
    with pytest.raises(HttpError):
        guard.principal(request(sec_websocket_protocol="bearer.right"), OPEN)


def test_beyond_loopback_every_route_asks_for_the_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "node.example", ""):
        with pytest.raises(BindRefused, match=r"edge\.authentication"):
            Guard("t", host=host)
        guard = Guard("t", host=host, always=True)
        with pytest.raises(HttpError):
            guard.principal(request(), OPEN)
        with pytest.raises(HttpError):
            guard.principal(request(), None)


def test_beyond_loopback_a_host_is_an_address_or_a_name_that_was_configured() -> None:
    guard = Guard("t", host="0.0.0.0", hosts=["Node.example"], always=True)
    for host in ("192.168.1.5:8001", "[2001:db8::1]:8001", "node.example:8001", "localhost"):
        guard.admit(request(host=host))
    with pytest.raises(HttpError):
        guard.admit(request(host="rebound.example"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_authentication_to_be_bound(host: str) -> None:
    Guard("t", host=host)


@pytest.mark.parametrize(
    ("method", "content_type", "admitted"),
    [
        ("POST", "application/json", True),
        ("POST", "Application/JSON; charset=utf-8", True),
        ("PUT", "application/json", True),
        ("GET", None, True),
        ("HEAD", None, True),
        ("DELETE", None, True),
        ("POST", None, False),
        ("POST", "", False),
        ("POST", "text/plain", False),
        ("POST", "application/x-www-form-urlencoded", False),
        ("POST", "multipart/form-data; boundary=application/json", False),
        ("POST", "text/plain; application/json", False),
        ("PUT", "application/jsonp", False),
    ],
)
def test_what_changes_state_is_json(method: str, content_type: str | None, admitted: bool) -> None:
    sent = request(method) if content_type is None else request(method, content_type=content_type)
    if admitted:
        Guard("t").check_content_type(sent)
    else:
        with pytest.raises(HttpError) as refused:
            Guard("t").check_content_type(sent)
        assert refused.value.status == 415


def test_the_token_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        token = token_of(tmp_path / "data")
    finally:
        os.umask(before)
    file = tmp_path / "data" / TOKEN_FILE
    assert len(token) >= 40
    assert file.read_text().strip() == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token_of(tmp_path / "data") == token
    assert [entry.name for entry in file.parent.iterdir()] == [TOKEN_FILE]
    assert token_of(tmp_path / "other") != token


def test_a_token_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / TOKEN_FILE).write_text("given\n")
    (tmp_path / TOKEN_FILE).chmod(0o644)
    assert token_of(tmp_path) == "given"
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600


def test_an_empty_token_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / TOKEN_FILE).write_text("\n")
    with pytest.raises(OSError, match="empty"):
        token_of(tmp_path)
