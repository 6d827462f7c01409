from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.edge.limits import PIPELINED, Limits
from actors.edge.parser import HttpRequest, RequestParser


class Seen(NamedTuple):
    method: bytes
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool


def seen(request: HttpRequest) -> Seen:
    return Seen(request.method, request.path, request.query, request.headers, request.body, request.keep_alive)


def run(*pieces: bytes, limits: Limits | None = None) -> tuple[list[Seen], RequestParser]:
    """Feed the pieces as a connection does: what is complete is taken off before more is read."""
    parser = RequestParser(limits or Limits())
    taken: list[Seen] = []
    for piece in pieces:
        parser.feed(piece)
        while True:
            while parser.requests and parser.requests[0].complete:
                taken.append(seen(parser.requests.popleft()))
            if not parser.pending:
                break
            parser.resume()
    return taken, parser


def failure_of(*pieces: bytes, limits: Limits | None = None) -> tuple[int, str]:
    taken, parser = run(*pieces, limits=limits)
    assert taken == []
    assert parser.failure is not None
    return parser.failure.status, parser.failure.code


def test_a_request_is_taken_apart() -> None:
    [request], parser = run(b"POST /a/b?c=d&e HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nContent-Length: 3\r\n\r\nabc")
    headers = {b"host": b"x", b"x-one": b"1", b"content-length": b"3"}
    assert request == Seen(b"POST", b"/a/b", b"c=d&e", headers, b"abc", True)
    assert parser.failure is None
    assert not parser.in_message


def test_a_head_without_its_body_is_there_already_but_not_complete() -> None:
    _, parser = run(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    assert parser.requests[0].size == 2
    assert not parser.requests[0].complete
    assert parser.in_message


def test_a_chunked_body_is_joined_and_its_trailers_change_nothing() -> None:
    [request], _ = run(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nHost: evil\r\nX-Late: 1\r\n\r\n"
    )
    assert request.body == b"abcde"
    assert request.headers[b"host"] == b"x"
    assert b"x-late" not in request.headers


def test_repeated_headers_are_joined() -> None:
    [request], _ = run(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: a\r\nAccept: b\r\nCookie: c=1\r\nCookie: d=2\r\n\r\n")
    assert request.headers[b"accept"] == b"a, b"
    assert request.headers[b"cookie"] == b"c=1; d=2"


def test_the_absolute_form_is_a_path_if_it_names_the_same_host() -> None:
    [request], _ = run(b"GET http://Localhost:1/a?b HTTP/1.1\r\nHost: localhost:1\r\n\r\n")
    assert (request.path, request.query) == (b"/a", b"b")
    assert failure_of(b"GET http://evil/a HTTP/1.1\r\nHost: localhost\r\n\r\n") == (400, "malformed_request")


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (HEAD + b"Content-Length: 3, 3\r\n\r\nabc", 400),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding: identity\r\n\r\nabc", 501),
        (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: +3\r\n\r\nabc", 400),
        (HEAD + b"Content-Length: 0x3\r\n\r\nabc", 400),
        (HEAD + b"Content-Length: 1_0\r\n\r\nabc", 400),
        (HEAD + b"Content-Length:\r\n\r\nabc", 400),
        (HEAD + b"Content-Length: 18446744073709551616\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505),
        (b"GET / HTTP/1.7\r\nHost: x\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\x80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX y: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\x00\x01\x02", 400),
        (b"HTTP/1.1 200 OK\r\n\r\n", 400),
        (HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc", 400),
        (HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
def test_what_is_not_clearly_one_request_is_refused(data: bytes, status: int) -> None:
    assert failure_of(data)[0] == status
    assert failure_of(*[data[index : index + 1] for index in range(len(data))])[0] == status


@pytest.mark.parametrize(
    "chunk", [b"x\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"3\r\nabc\n", b"ffffffffffffffffff\r\n", b"3 \nabc"]
)
def test_a_malformed_chunk_is_refused(chunk: bytes) -> None:
    _, parser = run(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
    assert parser.failure is not None
    assert not parser.requests[0].complete


def test_after_an_upgrade_nothing_is_read_as_http() -> None:
    upgrade = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    smuggled = b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
    taken, parser = run(upgrade + smuggled, smuggled)
    assert [request.path for request in taken] == [b"/ws"]
    assert parser.upgraded
    assert parser.rest == smuggled + smuggled
    assert not parser.requests


def test_an_endless_header_is_refused_as_soon_as_it_passes_the_limit() -> None:
    limits = Limits(header_bytes=1000)
    parser = RequestParser(limits)
    parser.feed(b"GET / HTTP/1.1\r\nHost: x\r\nX-Endless: ")
    fed = 0
    while parser.failure is None:
        parser.feed(b"a" * 100)
        fed += 100
        assert fed < 2000
    assert parser.failure.status == 431
    assert parser.failure.close


@pytest.mark.parametrize(
    ("limits", "headers", "status"),
    [
        (Limits(header_bytes=1000), b"A: " + b"a" * 1000 + b"\r\n", 431),
        (Limits(header_bytes=1000), b"A: a\r\n" * 200, 431),
        (Limits(header_count=10), b"A: a\r\n" * 10, 431),
        (Limits(header_bytes=1000), b"A: " + b"a" * 900 + b"\r\n", None),
        (Limits(header_count=10), b"A: a\r\n" * 9, None),
    ],
)
def test_a_head_is_bounded_in_bytes_and_in_count(limits: Limits, headers: bytes, status: int | None) -> None:
    data = b"GET / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n"
    first = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    if status is not None:
        assert run(first + data[:-10], data[-10:], limits=limits)[1].failure is not None
    for pieces in ([data], [data[:30], data[30:]], [data + data]):
        _, parser = run(*pieces, limits=limits)
        assert (parser.failure.status if parser.failure else None) == status


def test_the_bound_of_a_head_begins_anew_with_each_request() -> None:
    data = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 600 + b"\r\n\r\n"
    taken, parser = run(*[data[:100], data[100:]] * 10, limits=Limits(header_bytes=1000))
    assert len(taken) == 10
    assert parser.failure is None


def test_a_body_counts_for_no_head() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n"
    taken, parser = run(*[head, b"x" * 1500, b"x" * 1500] * 3, limits=Limits(header_bytes=1000))
    assert len(taken) == 3
    assert parser.failure is None


def test_a_long_target_is_refused() -> None:
    data = b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    assert failure_of(data, limits=Limits(target_bytes=100)) == (414, "target_too_long")
    assert failure_of(data[:60], data[60:], limits=Limits(target_bytes=100)) == (414, "target_too_long")
    assert len(run(data, limits=Limits(target_bytes=101))[0]) == 1


@pytest.mark.parametrize("endless", [b"1;" + b"a" * 997 + b"\r\n", b"0\r\nX-Trailer: " + b"a" * 1000])
def test_endless_chunk_extensions_and_trailers_are_refused(endless: bytes) -> None:
    _, parser = run(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", endless, *[b"a" * 1000] * 200)
    assert parser.failure is not None


def test_a_body_in_chunks_of_one_byte_is_no_attack() -> None:
    _, parser = run(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n" * 1000] * 50)
    assert parser.failure is None
    assert parser.requests[0].size == 50_000


def test_at_most_sixteen_requests_are_taken_in_and_the_others_wait() -> None:
    one = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    parser = RequestParser(Limits())
    parser.feed(b"".join(one % number for number in range(100)))
    assert len(parser.requests) == PIPELINED == 16
    paths: list[bytes] = []
    while parser.requests:
        paths.append(parser.requests.popleft().path)
        if not parser.requests:
            parser.resume()
            assert len(parser.requests) <= PIPELINED
    assert paths == [b"/%d" % number for number in range(100)]


def test_a_head_that_ends_across_two_reads_counts_among_the_sixteen() -> None:
    one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    parser = RequestParser(Limits())
    parser.feed(one[:-2])
    parser.feed(one[-2:] + one * 40)
    assert len(parser.requests) <= PIPELINED


HEADER_NAMES = st.sampled_from(["A", "X-B", "Accept", "Cookie"])
HEADER_VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE"]))
    path = draw(st.text("abc/%2", max_size=10))
    lines = [f"{method} /{path} HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in draw(st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=4))]
    body = b""
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    # Bodies that look like heads are the ones that confuse.
    content = draw(
        st.lists(st.sampled_from([b"\r\n\r\n", b"GET / HTTP/1.1\r\n", b"0\r\n\r\n", b"x", b"{}"]), max_size=8)
    )
    if kind == "length":
        body = b"".join(content)
        lines.append(f"Content-Length: {len(body)}")
    elif kind == "chunked":
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in content) + b"0\r\n\r\n"
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@settings(max_examples=150, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=40), st.data())
def test_however_the_bytes_are_split_the_requests_are_the_same(stream: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(stream)
    apart = [run(each)[0][0] for each in stream]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    taken, parser = run(*[piece for piece in pieces if piece])
    assert taken == apart
    assert parser.failure is None
    assert not parser.in_message


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                b"GET / HTTP/1.1\r\n",
                b"Host: x\r\n",
                b"\r\n",
                b"Content-Length: 3\r\n",
                b"abc",
                b"Transfer-Encoding: chunked\r\n",
                b"3\r\nabc\r\n",
                b"0\r\n",
                b"Upgrade: h2c\r\n",
                b"Connection: upgrade\r\n",
                b"\x00",
                b"\xff",
                b" ",
                b":",
                b"HTTP/1.1",
            ]
        ),
        max_size=30,
    )
)
def test_no_bytes_whatsoever_raise_and_a_failure_always_closes(pieces: list[bytes]) -> None:
    _, parser = run(*pieces)
    if parser.failure is not None:
        assert 400 <= parser.failure.status < 600
        assert parser.failure.close
