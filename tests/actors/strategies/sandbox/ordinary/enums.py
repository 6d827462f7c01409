"""Enumerations: plain, of text, flags, auto, with methods; one is the action itself."""

from enum import Enum, Flag, IntEnum, StrEnum, auto, unique


@unique
class Action(Enum):
    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"

    @property
    def opposite(self):
        return {Action.BUY: Action.SELL, Action.SELL: Action.BUY}.get(self, Action.HOLD)


class Kind(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"


class Step(IntEnum):
    FIRST = 1
    SECOND = 2


class Marks(Flag):
    NONE = 0
    HIGH = auto()
    VOLUME = auto()


def generate_signal(data, parameters):
    symbol = max(data)
    bars = data[symbol]
    marks = Marks.NONE
    if bars.close[-1] >= bars.close.max():
        marks |= Marks.HIGH
    if bars.volume[-1] > bars.volume.mean():
        marks |= Marks.VOLUME
    if Marks.HIGH not in marks and Marks.VOLUME not in marks:
        return None
    action = Action.BUY if Marks.VOLUME in marks else Action.BUY.opposite
    assert len(Action) == 3 and [each.name for each in Action][0] == "BUY" and "SELL" in Action.__members__
    return {
        "symbol": symbol,
        "action": action,
        "confidence": Step.FIRST / Step.SECOND,
        "order_type": Kind.LIMIT,
        "metadata": {"marks": marks.value},
    }
