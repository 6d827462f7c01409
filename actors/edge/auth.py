"""Who may call: the bearer token of the data folder, and the Host and Origin that a web page cannot forge.

Any web page can make a browser send requests to loopback. It cannot choose the Host that the browser sends (a name of
its own, even when that name has been pointed at 127.0.0.1), nor leave out or change the Origin, nor know the token,
nor send JSON to another origin without being asked by it. Each of the four is checked.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
import stat
from collections.abc import Collection
from pathlib import Path

from actors.edge.call import ANYBODY, OPERATOR
from actors.edge.errors import HttpError
from actors.edge.parser import HttpRequest
from actors.edge.routing import Route

TOKEN_FILE = "token"  # noqa: S105 - a file name
_TOKEN_BYTES = 32
_REMEMBERED = 256

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_STATE_CHANGING = frozenset({b"POST", b"PUT", b"DELETE", b"PATCH"})
_SUBPROTOCOL_TOKEN = "bearer."  # noqa: S105 - a prefix


class BindRefused(Exception):
    """The edge would be reachable from other machines without asking who calls."""


def token_of(data_dir: Path) -> str:
    """The bearer token of the data folder, made (mode 0600) if there is none yet. Raises OSError."""
    path = data_dir / TOKEN_FILE
    try:
        return _read_token(path)
    except FileNotFoundError:
        pass
    data_dir.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    # Written aside and linked: a reader never sees half a token, and of two starters one wins.
    aside = data_dir / f".{TOKEN_FILE}.{os.getpid()}.{secrets.token_hex(4)}"
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)
    except FileExistsError:
        return _read_token(path)
    finally:
        aside.unlink()
    return token


def _read_token(path: Path) -> str:
    token = path.read_text(encoding="ascii").strip()
    if not token:
        raise OSError(f"{path} is empty; remove it to have a new token made")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)
    return token


def is_loopback(host: str) -> bool:
    """Whether binding to `host` is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Admits or refuses requests by Host, Origin, token and content type.

    `host` is what the server is bound to, `hosts` further names it is reached by, `origins` further origins
    (`https://name:port`) whose pages may call. `always`: every route asks for the token.
    Raises BindRefused for a host beyond loopback without `always`.
    """

    def __init__(
        self,
        token: str,
        *,
        host: str = "127.0.0.1",
        hosts: Collection[str] = (),
        origins: Collection[str] = (),
        always: bool = False,
    ) -> None:
        if not is_loopback(host) and not always:
            raise BindRefused(
                f"{host} is reachable from other machines: bind to 127.0.0.1, or set edge.authentication = 'token' so "
                "that every route asks for the bearer token"
            )
        self.always = always
        self._token = token.encode()
        self._names = _LOOPBACK_NAMES | {name.lower() for name in hosts}
        if host not in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
            self._names |= {f"[{host}]" if ":" in host else host.lower()}
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        # An address needs no look-up, so nobody can point it elsewhere; beyond loopback it is a fair name.
        self._addresses = not is_loopback(host)
        self._known_hosts: set[bytes] = set()

    def admit(self, request: HttpRequest) -> None:
        """Check Host and Origin. Raises HttpError 400 or 403."""
        headers = request.headers
        host = headers[b"host"]
        if host not in self._known_hosts:
            self._check_host(host)
        origin = headers.get(b"origin")
        if origin is not None:
            self._check_origin(origin, host)

    def principal(self, request: HttpRequest, route: Route | None) -> str:
        """Who calls. Raises HttpError 401 if `route` (None: whatever there is) asks for a token that is not there."""
        required = self.always or (route is not None and route.token)
        given = self._given_token(request)
        if given is None:
            if required:
                raise _unauthorized("a bearer token is needed: see the file 'token' of the data folder")
            return ANYBODY
        if hmac.compare_digest(given, self._token):
            return OPERATOR
        if required:
            raise _unauthorized("the bearer token is wrong")
        return ANYBODY

    def check_content_type(self, request: HttpRequest) -> None:
        """Raise HttpError 415 unless a request that changes state says that it is JSON."""
        method = request.method
        if method not in _STATE_CHANGING or (method == b"DELETE" and not request.has_body):
            return
        given = request.headers.get(b"content-type", b"")
        if given != b"application/json" and given.partition(b";")[0].strip().lower() != b"application/json":
            what = given.decode("latin-1")[:100] or "none"
            message = f"the content type has to be application/json, not {what}"
            raise HttpError(415, "content_type", message, "content-type", headers=(("accept", "application/json"),))

    def _given_token(self, request: HttpRequest) -> bytes | None:
        given = request.headers.get(b"authorization")
        if given is not None:
            scheme, _, token = given.strip().partition(b" ")
            return token.strip() if scheme.lower() == b"bearer" else b""
        if request.upgrade:
            # A browser cannot set headers on a WebSocket, but it can offer a subprotocol.
            for offer in request.headers.get(b"sec-websocket-protocol", b"").split(b","):
                if offer.strip().startswith(_SUBPROTOCOL_TOKEN.encode()):
                    return offer.strip()[len(_SUBPROTOCOL_TOKEN) :]
        return None

    def _check_host(self, raw: bytes) -> None:
        name = _host_name(raw)
        if name is None:
            raise HttpError(400, "malformed_request", "the Host header is not a host", "host", close=True)
        if name not in self._names and not (self._addresses and _is_address(name)):
            raise HttpError(403, "host_not_allowed", f"this server is not {name[:100]}", "host")
        if len(self._known_hosts) < _REMEMBERED:
            self._known_hosts.add(raw)

    def _check_origin(self, raw: bytes, host: bytes) -> None:
        origin = raw.strip().decode("latin-1").lower()
        scheme, separator, authority = origin.partition("://")
        same = bool(separator) and scheme in ("http", "https") and authority == host.strip().decode("latin-1").lower()
        if not same and origin not in self._origins:
            raise HttpError(403, "origin_not_allowed", f"pages of {origin[:100]} may not call this server", "origin")


def _unauthorized(message: str) -> HttpError:
    return HttpError(401, "unauthorized", message, headers=(("www-authenticate", "Bearer"),))


def _host_name(raw: bytes) -> str | None:
    """The lower-case name in a Host header without its port; None if it is malformed (RFC 9110 7.2)."""
    text = raw.strip().decode("latin-1").lower()
    if text.startswith("["):
        name, bracket, port = text.partition("]")
        name += bracket
        if not bracket or (port and not port.startswith(":")):
            return None
        port = port[1:]
    else:
        name, _, port = text.partition(":")
    if not name or not name.isascii() or not name.isprintable() or any(mark in name for mark in " /@?#,\\"):
        return None
    if port and not (port.isascii() and port.isdigit()):
        return None
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
