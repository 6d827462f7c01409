"""The running node, as a command sees it: where it is, its token, and its HTTP interface with errors made ours."""

from __future__ import annotations

import argparse
import json
import os
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from actors.cli.configuration import data_folder
from actors.cli.report import CommandError, Exit, failure

NODE_FILE = "node.json"
TOKEN_FILE = "token"  # noqa: S105 -- the name of a file
TOKEN_VARIABLE = "TROUPE_TOKEN"  # noqa: S105 -- the name of a variable

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class NodeFile(msgspec.Struct, frozen=True):
    """`node.json` in the data folder: what a running node says about itself."""

    url: str
    pid: int
    name: str = ""
    version: str = ""


class Address(NamedTuple):
    """Where a node is, and the token for what needs one."""

    url: str
    token: str | None


def read_node_file(folder: Path) -> NodeFile | None:
    """The node that says it runs on this data folder; None if none does or the file is not readable as such."""
    try:
        return msgspec.json.decode((folder / NODE_FILE).read_bytes(), type=NodeFile)
    except (OSError, msgspec.DecodeError):
        return None


def is_alive(pid: int) -> bool:
    """Whether a process with this number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def read_token(folder: Path) -> str | None:
    """The token of the data folder, if we may read it."""
    try:
        return (folder / TOKEN_FILE).read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def find_node(arguments: argparse.Namespace) -> Address:
    """The node that a command means. Raises CommandError (not reachable) if none runs.

    The token of the data folder goes only to the node that the folder names, or to loopback: an address that was
    typed must not be able to collect it. TROUPE_TOKEN is sent wherever one says.
    """
    given = os.environ.get(TOKEN_VARIABLE)
    if arguments.url:
        return _typed(arguments, given)
    folder = data_folder(arguments)
    node = read_node_file(folder)
    if node is None:
        raise failure(
            Exit.UNREACHABLE,
            "no_node",
            f"no node runs on the data folder {folder}",
            hint="start one with: troupe run; or name it by --url or --data-dir",
        )
    if urlsplit(node.url).hostname in LOOPBACK and not is_alive(node.pid):
        raise failure(
            Exit.UNREACHABLE,
            "no_node",
            f"the node of {folder} is gone: its process {node.pid} does not exist any more",
            hint="start it again with: troupe run",
        )
    return Address(node.url.rstrip("/"), given or read_token(folder))


def _typed(arguments: argparse.Namespace, given: str | None) -> Address:
    """The address that `--url` names, with a token only where it may go."""
    url = arguments.url.rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        text = f"--url expects http://HOST:PORT, got {arguments.url!r}"
        raise failure(Exit.USAGE, "usage", text, field="url")
    if given:
        return Address(url, given)
    try:
        folder = data_folder(arguments)
    except CommandError:
        # With an address the data folder is a convenience, unless it was asked for.
        if arguments.config or arguments.overrides:
            raise
        return Address(url, None)
    node = read_node_file(folder)
    ours = parts.hostname in LOOPBACK or (node is not None and urlsplit(node.url)[:2] == parts[:2])
    return Address(url, read_token(folder) if ours else None)


def quoted(path: str) -> str:
    """An actor's path for use inside a URL: `/` stays, everything else that is special is encoded."""
    return quote(path.strip("/"), safe="/")


_EXITS: dict[int, Exit] = {
    HTTPStatus.BAD_REQUEST: Exit.USAGE,
    HTTPStatus.UNPROCESSABLE_ENTITY: Exit.USAGE,
    HTTPStatus.UNAUTHORIZED: Exit.REFUSED,
    HTTPStatus.FORBIDDEN: Exit.REFUSED,
    HTTPStatus.NOT_FOUND: Exit.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: Exit.TIMED_OUT,
    HTTPStatus.CONFLICT: Exit.REFUSED,
    HTTPStatus.TOO_MANY_REQUESTS: Exit.REFUSED,
    HTTPStatus.SERVICE_UNAVAILABLE: Exit.REFUSED,
    HTTPStatus.GATEWAY_TIMEOUT: Exit.TIMED_OUT,
}


def error_of(status: int, body: bytes, url: str) -> CommandError:
    """The command's error for an HTTP answer that is one; the body's own words where it has them."""
    code, message, field = f"http_{status}", f"{url} answered {status}", None
    try:
        told = json.loads(body)["error"]
        code, message, field = str(told["code"]), str(told["message"]), told.get("field")
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    hint = None
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        hint = f"the token is read from the node's data folder (--data-dir), or from {TOKEN_VARIABLE}"
    return failure(_EXITS.get(status, Exit.FAILED), code, message, field=field, hint=hint)


class NodeApi:
    """A node's HTTP interface. Every call has a deadline; every error is a CommandError with its exit status."""

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        self._client = httpx.Client(
            base_url=address.url,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 3.0)),
            # A proxy of the environment has no business between a command and its own node.
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str) -> Any:
        """The JSON that a path answers."""
        return self._decoded(self.response("GET", path))

    def post(self, path: str, content: dict[str, Any] | None = None) -> Any:
        """The JSON that a POST of this content (or none) answers; it carries the token."""
        return self._decoded(self.response("POST", path, json=content or {}))

    def response(self, method: str, path: str, **content: Any) -> httpx.Response:
        """The answer as it is. Raises CommandError for an error status, and when the node does not answer."""
        answer = self.raw(method, path, **content)
        if answer.is_error:
            raise error_of(answer.status_code, answer.content, str(answer.url))
        return answer

    def raw(self, method: str, path: str, **content: Any) -> httpx.Response:
        """The answer, whatever its status. Raises CommandError only when the node does not answer."""
        headers = {"Authorization": f"Bearer {self.address.token}"} if self.address.token else {}
        try:
            return self._client.request(method, path, headers=headers, **content)
        except httpx.ConnectTimeout as error:
            raise self._unreachable("does not accept a connection") from error
        except httpx.TimeoutException as error:
            text = f"{self.address.url} did not answer {method} {path} in time"
            hint = "the node may be busy: troupe doctor; or wait longer with --timeout S"
            raise failure(Exit.TIMED_OUT, "timed_out", text, hint=hint) from error
        except httpx.TransportError as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        except httpx.InvalidURL as error:
            raise failure(Exit.USAGE, "usage", f"{self.address.url}{path}: {error}") from error

    def _unreachable(self, why: str) -> CommandError:
        hint = "is it running? troupe run starts one, --url and --data-dir name another"
        return failure(Exit.UNREACHABLE, "unreachable", f"{self.address.url} is not reachable: {why}", hint=hint)

    @staticmethod
    def _decoded(answer: httpx.Response) -> Any:
        try:
            return answer.json() if answer.content else {}
        except ValueError as error:
            text = f"{answer.url} did not answer with JSON; is that a Troupe node?"
            raise failure(Exit.FAILED, "not_json", text) from error
