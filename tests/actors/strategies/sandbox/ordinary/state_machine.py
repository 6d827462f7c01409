"""A state machine of methods in a table, with a metaclass-free registry by __init_subclass__."""


class State:
    registry = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        State.registry[cls.__name__] = cls

    def next(self, price, anchor):
        raise NotImplementedError


class Flat(State):
    def next(self, price, anchor):
        return ("Long", "BUY") if price > anchor * 1.001 else ("Flat", None)


class Long(State):
    def next(self, price, anchor):
        return ("Flat", "CLOSE_LONG") if price < anchor else ("Long", None)


class Strategy:
    states: dict

    def __init__(self):
        self.states = {}

    def generate_signal(self, data, parameters):
        signals = []
        for symbol, bars in data.items():
            anchor = bars.close[-10:].mean()
            state = State.registry[self.states.get(symbol, "Flat")]()
            self.states[symbol], action = state.next(bars.close[-1], anchor)
            if action:
                signals.append({"symbol": symbol, "action": action, "confidence": 0.55})
        return signals
