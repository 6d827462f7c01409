"""logging, print and warnings go to the strategy's log."""

import logging
import warnings

import numpy as np

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


def generate_signal(data, parameters):
    for symbol, bars in data.items():
        print("bars of", symbol, len(bars), sep=": ")
        logger.debug("not shown")
        logger.info("%s closes at %.2f", symbol, bars.close[-1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ratio = np.divide(bars.volume, np.zeros(len(bars)))
        if np.isinf(ratio).all() and len(bars) % 8 == 0:
            logger.warning("every eighth")
            return {"symbol": symbol, "action": "HOLD", "confidence": 0.1}
    return None


if __name__ == "__main__":
    print("not here")
