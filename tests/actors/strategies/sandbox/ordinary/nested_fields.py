"""A dictionary with the fields where signals have them on the wire."""


def generate_signal(data, parameters):
    bars = data.get("ETHUSDT")
    if bars is None or len(bars) < 2 or bars.close[-1] < bars.close[-2]:
        return None
    return {
        "symbol": "ETHUSDT",
        "action": "BUY",
        "confidence": 0.8,
        "execution_params": {
            "quantity": 0.5,
            "price_target": bars.close[-1],
            "stop_loss": bars.low[-1],
            "order_type": "STOP_LIMIT",
            "time_in_force": "DAY",
            "max_slippage": 0.002,
        },
        "market_conditions": {
            "trend": "up",
            "volatility": bars.close.std(),
            "volume_profile": "thin",
            "support_level": bars.low.min(),
            "resistance_level": bars.high.max(),
        },
        "risk_score": 0.25,
        "position_size": 10.0,
        "max_drawdown": 0.1,
    }
