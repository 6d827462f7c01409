"""Comprehensions of every kind, nested, with conditions and walruses."""


def generate_signals(data, parameters):
    ranges = {
        symbol: [high - low for high, low in zip(bars.high, bars.low, strict=True)] for symbol, bars in data.items()
    }
    means = {symbol: mean for symbol, values in ranges.items() if values and (mean := sum(values) / len(values)) > 0}
    pairs = {(a, b) for a in means for b in means if a < b and means[a] <= 2 * means[b]}
    flat = [value for values in ranges.values() for value in values[-3:]]
    wide = any(value > 1.9 * means[symbol] for symbol in means for value in ranges[symbol][-1:])
    total = sum(value**2 for value in flat)
    return [
        {"symbol": a, "action": "HOLD" if wide else "BUY", "confidence": min(0.99, 1 / (1 + total))}
        for a, b in sorted(pairs)
        if len(ranges[a]) % 4 == 0
    ]
