"""deque, Counter, defaultdict, OrderedDict, ChainMap, heapq, bisect."""

import heapq
from bisect import bisect_left, insort
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque

recent = defaultdict(lambda: deque(maxlen=12))
moves = Counter()
ranked = []
defaults = {"limit": 6}


def generate_signals(data, parameters):
    settings = ChainMap(parameters, defaults)
    order = OrderedDict(sorted(data.items(), reverse=True))
    order.move_to_end(min(order))
    signals = []
    for symbol, bars in order.items():
        window = recent[symbol]
        window.append(float(bars.close[-1]))
        moves["up" if bars.close[-1] > bars.open[-1] else "down"] += 1
        insort(ranked, float(bars.close[-1]))
        place = bisect_left(ranked, float(bars.close[-1])) / len(ranked)
        best = heapq.nlargest(2, window)
        worst = heapq.nsmallest(1, window)[0]
        if len(window) > settings["limit"] and window[-1] in best:
            signals.append(
                {
                    "symbol": symbol,
                    "action": "BUY",
                    "confidence": place,
                    "support_level": worst,
                    "metadata": dict(moves.most_common(2)),
                }
            )
    return signals
