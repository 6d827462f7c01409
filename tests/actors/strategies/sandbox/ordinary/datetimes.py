"""Dates and times: sessions of a day, arithmetic, formats, parsing."""

import calendar
from datetime import UTC, date, datetime, time, timedelta, timezone

OPEN, CLOSE = time(0, 10), time(1, 30)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def generate_signal(data, parameters):
    bars = data.get("BTCUSDT")
    if bars is None:
        return None
    at = EPOCH + timedelta(microseconds=int(bars.timestamp[-1]) // 1000)
    assert isinstance(at, datetime) and isinstance(at, date) and at.tzinfo is UTC
    if not OPEN <= at.time() < CLOSE or at.minute % 15:
        return None
    last = calendar.monthrange(at.year, at.month)[1]
    left = (datetime(at.year, at.month, last, tzinfo=UTC) - at).days
    parsed = datetime.strptime(at.strftime("%Y-%m-%d %H:%M"), "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    return {
        "symbol": "BTCUSDT",
        "action": "BUY" if parsed <= at else "SELL",
        "confidence": 0.5,
        "validity_s": timedelta(minutes=5).total_seconds(),
        "metadata": {
            "at": at.isoformat(),
            "weekday": calendar.day_name[at.weekday()],
            "left": left,
            "week": list(at.isocalendar()),
        },
    }
