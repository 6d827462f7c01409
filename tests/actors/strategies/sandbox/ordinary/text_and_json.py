"""Text: f-strings, formats, regular expressions, json, string, unicodedata."""

import json
import re
import string
import unicodedata

NAME = re.compile(r"^(?P<base>[A-Z]{3,4})(?P<quote>USDT?)$")
SETTINGS = json.loads('{"bases": {"BTC": 1.0, "ETH": 0.5}, "title": "Stärke"}')


def generate_signal(data, parameters):
    for symbol, bars in data.items():
        found = NAME.match(symbol)
        if not found or len(bars) % 9:
            continue
        weight = SETTINGS["bases"].get(found["base"], 0.0)
        width = 8
        title = unicodedata.normalize("NFD", SETTINGS["title"])
        text = f"{symbol:>{width}}|{bars.close[-1]:,.2f}|{weight!r}|{'up' if weight > 0.6 else 'down'}|{title.upper()}"
        text += " %s %d" % (found.group("quote"), len(bars)) + " {} {n:03d}".format("x", n=len(bars))
        letters = "".join(each for each in text if each in string.ascii_letters)
        return {
            "symbol": symbol,
            "action": "BUY",
            "confidence": weight,
            "metadata": json.loads(
                json.dumps({"text": text, "letters": re.sub(r"[a-z]", "", letters), "sorted": sorted(set(letters))[:5]})
            ),
        }
    return None
