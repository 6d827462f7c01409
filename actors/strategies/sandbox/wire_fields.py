"""Types of fields of the wire, with their bounds: what is beyond them is no message."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Text = Annotated[str, msgspec.Meta(max_length=1024)]
ShortText = Annotated[str, msgspec.Meta(max_length=200)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e18)]
Finite = Annotated[float, msgspec.Meta(ge=-1e18, le=1e18)]
Count = Annotated[int, msgspec.Meta(ge=0)]

TimeInForce = Literal["GTC", "IOC", "FOK", "DAY"]
