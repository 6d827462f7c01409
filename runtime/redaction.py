"""Which settings are secret, and how text is shown without its passwords."""

from __future__ import annotations

import re
from typing import Annotated, get_args

import msgspec

Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]
"""The type of a setting that is never shown."""

HIDDEN = "***"

# A setting without a mark is secret by its name, too: whoever forgets the mark is not to find it out from a
# log.
_SECRET_NAME = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|token|api_key|private_key|access_key)$", re.IGNORECASE
)
# The scheme is bounded so that a long text without any costs no more than its length.
_PASSWORD_IN_URL = re.compile(r"([A-Za-z][\w+.-]{0,20}://[^\s/?#:@]*):[^\s/?#]*@")
_PASSWORD_IN_TEXT = re.compile(
    r"((?:^|[\s?&;])(?:password|passwd|token|secret|api_?key)=)('[^']*'|[^&;\s]+)", re.IGNORECASE
)


def is_marked(kind: object, mark: str) -> bool:
    """Whether a type, or a part of it (`Secret | None`), carries `Meta(extra={mark: True})`."""
    for part in (kind, *get_args(kind)):
        if isinstance(part, msgspec.Meta) and (part.extra or {}).get(mark):
            return True
    return any(is_marked(part, mark) for part in get_args(kind))


def is_secret(name: str, kind: object) -> bool:
    """Whether a setting of this name and type is secret."""
    return is_marked(kind, "secret") or _SECRET_NAME.search(name) is not None


def without_passwords(text: str) -> str:
    """The text with the passwords of URLs, query strings and `key=value` connection strings hidden."""
    text = _PASSWORD_IN_URL.sub(rf"\1:{HIDDEN}@", text)
    return _PASSWORD_IN_TEXT.sub(rf"\1{HIDDEN}", text)
