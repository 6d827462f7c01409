"""The settings of the threshold service that this replaces: its variables, its file, and our keys for both. A core.

A key of the file is another name for a variable, and wins over it, as it did there. Each variable has one key of ours,
or none, with the reason. An unknown key of the file is named.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from actors.thresholds.parameters import DEFAULTS

Environ = Mapping[str, str]
Reader = Callable[[str, Environ], str | None]
FILE: Final = "ML_SERVICE_CONFIG_FILE"
MOST_BYTES: Final = 1 << 20


class FileError(Exception):
    """The file cannot be used. `field`: the key that is to blame."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class OldVariable(NamedTuple):
    """A variable, the key that it sets (None: it has no effect, `note` says why), and how its text is read."""

    name: str
    key: str | None
    note: str
    read: Reader = lambda text, environ: text


# Readers.


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("", "0", "false", "no", "off"):
        return False
    raise ValueError(f"expected true or false, got {text!r}")


def number(text: str) -> float:
    """A finite number. Raises ValueError."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"expected a number, got {text!r}")
    return found


def _number(text: str, environ: Environ) -> str | None:
    number(text)
    return text.strip()


def _size(text: str, environ: Environ) -> str | None:
    """Weights of losses were negative there."""
    return repr(abs(number(text)))


def _level(text: str, environ: Environ) -> str | None:
    word = text.strip().lower()
    return {"warn": "warning", "fatal": "critical"}.get(word, word)


def _debug(text: str, environ: Environ) -> str | None:
    return "debug" if _switch(text) and "LOG_LEVEL" not in environ else None


def _json_format(text: str, environ: Environ) -> str | None:
    return "json" if _switch(text) else None


def _url(text: str, environ: Environ) -> str | None:
    """SQLAlchemy's addresses name a driver; ours do not."""
    scheme, separator, rest = text.strip().partition("://")
    kind = scheme.partition("+")[0]
    if not scheme:
        return None
    if not separator or kind not in ("postgresql", "postgres"):
        raise ValueError("expected postgresql://…")  # what came may hold a password
    return f"{kind}{separator}{rest}"


_KNOWN_KEYS: Final = frozenset({"change-me-in-production", "your-secret-admin-key", "your-secret-admin-key-here"})


def _admin_key(text: str, environ: Environ) -> str | None:
    if text in _KNOWN_KEYS:
        raise ValueError("expected a key of your own: this one stands in the service's own examples")
    return text or None


def _rate(text: str, environ: Environ) -> str | None:
    return _number(text, environ) if _switch(environ.get("ENABLE_RATE_LIMITING", "true")) else None


def _no_rate(text: str, environ: Environ) -> str | None:
    return None if _switch(text) else "0"


def _redis(text: str, environ: Environ) -> str | None:
    return text.strip() if _switch(environ.get("ENABLE_REDIS_CACHE", "false")) else None


def _redis_default(text: str, environ: Environ) -> str | None:
    return environ.get("REDIS_URL", "redis://localhost:6379/0").strip() if _switch(text) else None


def _origins(text: str, environ: Environ) -> str | None:
    return json.dumps([name.strip() for name in text.split(",") if name.strip()])


def _slack(text: str, environ: Environ) -> str | None:
    return f'[{{name = "slack", kind = "slack", url = {json.dumps(text.strip())}}}]' if text.strip() else None


def _file(text: str, environ: Environ) -> str | None:
    return str(Path(text.strip()).expanduser().absolute()) if text.strip() else None


_ENDS: Final = (("default", "DEFAULT_{}_THRESHOLD"), ("lower", "{}_MIN_THRESHOLD"), ("upper", "{}_MAX_THRESHOLD"))


def _parameters(text: str, environ: Environ) -> str | None:
    """All that is said of the five, out of all variables: the key is one."""
    number(text)
    tables = []
    for each in DEFAULTS:
        said = {
            end: environ[name.format(each.name.upper())]
            for end, name in _ENDS
            if name.format(each.name.upper()) in environ
        }
        if not said:
            continue
        fields: dict[str, Any] = {name: getattr(each, name) for name in each.__struct_fields__}
        fields |= {end: number(given) for end, given in said.items()}
        tables.append("{" + ", ".join(f"{name} = {_toml(value)}" for name, value in fields.items()) + "}")
    return f"[{', '.join(tables)}]"


def _toml(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(float(value))


_GUARD: Final = "thresholds.learning.safeguards"
_STEP: Final = "a step is as large as the evidence for it (thresholds.learning.gate); there is no rate to set"
_POOL: Final = "each query has its own deadline, connections are made when they are needed"
_LOGS: Final = "lines go to standard error; whoever runs the node keeps them"
_ALWAYS: Final = "metrics are always there, on /metrics of the same port"

VARIABLES: Final[tuple[OldVariable, ...]] = (
    OldVariable("HOST", "edge.host", "where HTTP is served; beyond loopback only with edge.authentication = token"),
    OldVariable("PORT", "edge.port", "where HTTP is served"),
    OldVariable("WORKERS", None, "one process serves: its actors share the work"),
    OldVariable("ENVIRONMENT", None, "nothing differs between environments"),
    OldVariable("LOG_LEVEL", "telemetry.level", "the least level that is logged", _level),
    OldVariable("DEBUG", "telemetry.level", "true: debug, unless LOG_LEVEL is set", _debug),
    OldVariable("ENABLE_JSON_LOGGING", "telemetry.format", "true: lines of JSON", _json_format),
    *(OldVariable(f"LOG_{name}", None, _LOGS) for name in ("FORMAT", "FILE_PATH", "MAX_FILE_SIZE", "BACKUP_COUNT")),
    OldVariable("ENABLE_REQUEST_ID", None, "lines carry the path of the actor"),
    OldVariable("SENTRY_DSN", None, "nothing is sent to Sentry; a crash is an alert and a line of the log"),
    OldVariable("DATADOG_API_KEY", None, "nothing is sent to Datadog; Prometheus asks /metrics"),
    OldVariable("DATABASE_URL", "database.url", "the database; unset: an embedded one", _url),
    OldVariable("DB_POOL_SIZE", "database.connections", "queries at once"),
    *(OldVariable(f"DB_{name}", None, _POOL) for name in ("MAX_OVERFLOW", "POOL_TIMEOUT", "POOL_RECYCLE", "ECHO")),
    OldVariable("ADAPTATION_LEARNING_RATE", None, _STEP),
    OldVariable("ADAPTATION_MIN_LEARNING_RATE", None, _STEP),
    OldVariable("ADAPTATION_MAX_LEARNING_RATE", None, _STEP),
    OldVariable("ADAPTATION_PERFORMANCE_WINDOW", "threshold_outcomes.window_trades", "trades that are judged", _number),
    OldVariable(
        "ADAPTATION_MIN_TRADES", "threshold_outcomes.min_trades", "with fewer the performance is unknown", _number
    ),
    OldVariable("ADAPTATION_FREQUENCY_HOURS", f"{_GUARD}.cycle_h", "hours between two cycles", _number),
    OldVariable("ADAPTATION_COOLDOWN_HOURS", f"{_GUARD}.cooldown_h", "hours after poor performance", _number),
    OldVariable("MAX_ADAPTATION_PER_CYCLE", f"{_GUARD}.max_change", "a share", _number),
    OldVariable("MIN_ADAPTATION_THRESHOLD", f"{_GUARD}.min_change", "a share; what is less waits", _number),
    *(
        OldVariable(name.format(each.name.upper()), "thresholds.parameters", f"{end} of {each.name}", _parameters)
        for end, name in _ENDS
        for each in DEFAULTS
    ),
    OldVariable("WEIGHT_TOTAL_RETURN", "threshold_outcomes.weights.total_return", "in the score", _size),
    OldVariable("WEIGHT_SHARPE_RATIO", "threshold_outcomes.weights.sharpe", "in the score", _size),
    OldVariable("WEIGHT_WIN_RATE", "threshold_outcomes.weights.win_rate", "in the score", _size),
    OldVariable("WEIGHT_MAX_DRAWDOWN", "threshold_outcomes.weights.max_drawdown", "in the score, taken off", _size),
    OldVariable("WEIGHT_VOLATILITY", "threshold_outcomes.weights.volatility", "in the score, taken off", _size),
    OldVariable("ADMIN_API_KEY", "threshold_api.admin_key", "what X-Admin-Key has to be", _admin_key),
    OldVariable("FLASK_SECRET_KEY", None, "there are no sessions; callers have the bearer token of the data folder"),
    OldVariable("CORS_ORIGINS", "edge.origins", "whose pages may call", _origins),
    OldVariable("ENABLE_RATE_LIMITING", "threshold_api.requests_per_minute", "false: no limit", _no_rate),
    OldVariable("RATE_LIMIT_PER_MINUTE", "threshold_api.requests_per_minute", "of one client address", _rate),
    OldVariable("MAX_REQUEST_SIZE", "edge.limits.body_bytes", "of a body, in bytes"),
    OldVariable("REQUEST_TIMEOUT", "edge.limits.request_s", "until when a request is answered, in seconds"),
    OldVariable("ENABLE_METRICS", None, _ALWAYS),
    OldVariable("METRICS_PORT", None, _ALWAYS),
    OldVariable("HEALTH_CHECK_TIMEOUT", None, "each check of /health has a limit of its own"),
    OldVariable("ENABLE_PERFORMANCE_TRACKING", None, "performance is always there"),
    OldVariable("PERFORMANCE_SAMPLE_RATE", None, "all trades count"),
    OldVariable("ALERT_ON_ADAPTATION_FAILURE", None, "which alerts there are, [[alerts.rules]] say"),
    OldVariable("ALERT_ON_DB_FAILURE", None, "which alerts there are, [[alerts.rules]] say"),
    OldVariable(
        "ALERT_POOR_PERFORMANCE_THRESHOLD", "threshold_outcomes.poor_below", "a score below it is poor", _number
    ),
    OldVariable("SLACK_WEBHOOK_URL", "alerts_to", "where alerts are told", _slack),
    OldVariable("REDIS_URL", "thresholds.redis_url", "the second cache, where ENABLE_REDIS_CACHE is true", _redis),
    OldVariable("ENABLE_REDIS_CACHE", "thresholds.redis_url", "true: REDIS_URL, or the usual one", _redis_default),
    OldVariable("CACHE_DEFAULT_TTL", "thresholds.redis_ttl_s", "how long Redis keeps an entry, in seconds", _number),
    OldVariable("ENABLE_MEMORY_CACHE", None, "what is served is always in memory"),
    OldVariable("MEMORY_CACHE_SIZE", "thresholds.cache_entries", "users and symbols in memory", _number),
    OldVariable(FILE, "threshold_api.config_file", "the service's file, YAML or JSON; it wins over variables", _file),
)


# The file.

_PLACES: Final[Mapping[str, str]] = {
    **{name: name.upper() for name in ("environment", "debug", "host", "port", "workers")},
    "database.url": "DATABASE_URL",
    **{
        f"database.{name}": f"DB_{name.upper()}"
        for name in ("pool_size", "max_overflow", "pool_timeout", "pool_recycle", "echo")
    },
    "adaptation.default_learning_rate": "ADAPTATION_LEARNING_RATE",
    "adaptation.min_learning_rate": "ADAPTATION_MIN_LEARNING_RATE",
    "adaptation.max_learning_rate": "ADAPTATION_MAX_LEARNING_RATE",
    "adaptation.performance_window": "ADAPTATION_PERFORMANCE_WINDOW",
    "adaptation.min_trades_for_adaptation": "ADAPTATION_MIN_TRADES",
    "adaptation.adaptation_frequency_hours": "ADAPTATION_FREQUENCY_HOURS",
    **{
        f"adaptation.default_parameters.{each.name}_threshold": f"DEFAULT_{each.name.upper()}_THRESHOLD"
        for each in DEFAULTS
    },
    **{
        f"adaptation.performance_weights.{name}": f"WEIGHT_{name.upper()}"
        for name in ("total_return", "sharpe_ratio", "win_rate", "max_drawdown", "volatility")
    },
    "adaptation.max_adaptation_per_cycle": "MAX_ADAPTATION_PER_CYCLE",
    "adaptation.min_adaptation_threshold": "MIN_ADAPTATION_THRESHOLD",
    "adaptation.cooldown_after_poor_performance_hours": "ADAPTATION_COOLDOWN_HOURS",
    "logging.level": "LOG_LEVEL",
    "logging.format": "LOG_FORMAT",
    "logging.file_path": "LOG_FILE_PATH",
    "logging.max_file_size": "LOG_MAX_FILE_SIZE",
    "logging.backup_count": "LOG_BACKUP_COUNT",
    **{
        f"logging.{name}": name.upper()
        for name in ("enable_json_logging", "enable_request_id", "sentry_dsn", "datadog_api_key")
    },
    **{
        f"security.{name}": name.upper()
        for name in (
            "admin_api_key",
            "flask_secret_key",
            "cors_origins",
            "enable_rate_limiting",
            "rate_limit_per_minute",
            "max_request_size",
            "request_timeout",
        )
    },
    **{
        f"monitoring.{name}": name.upper()
        for name in (
            "enable_metrics",
            "metrics_port",
            "health_check_timeout",
            "enable_performance_tracking",
            "performance_sample_rate",
            "alert_on_adaptation_failure",
            "alert_poor_performance_threshold",
            "slack_webhook_url",
        )
    },
    "monitoring.alert_on_db_connection_failure": "ALERT_ON_DB_FAILURE",
    # What the class of the service called it; its sample file, which it refused, said the one above.
    "monitoring.alert_on_poor_performance_threshold": "ALERT_POOR_PERFORMANCE_THRESHOLD",
    "cache.enable_redis": "ENABLE_REDIS_CACHE",
    "cache.redis_url": "REDIS_URL",
    "cache.default_ttl": "CACHE_DEFAULT_TTL",
    "cache.enable_memory_cache": "ENABLE_MEMORY_CACHE",
    "cache.memory_cache_size": "MEMORY_CACHE_SIZE",
}
_BOUNDS: Final[Mapping[str, str]] = {f"adaptation.{each.name}_bounds": each.name.upper() for each in DEFAULTS}
_TABLES: Final = frozenset(
    place[:end] for place in (*_PLACES, *_BOUNDS) for end in range(len(place)) if place[end] == "."
)


def read_file(path: Path) -> dict[str, str]:
    """What a file of the service says, as variables. Raises FileError, which names the key."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileError(f"{path}: expected at most {MOST_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read: {error}") from error
    found: dict[str, str] = {}
    _walk(path, _parsed(path, text), "", found)
    return found


def _parsed(path: Path, text: str) -> Any:
    kind = path.suffix.lower()
    if kind == ".json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise FileError(f"{path}: not valid JSON: {error}") from error
    if kind in (".yaml", ".yml"):
        import yaml  # type: ignore[import-untyped]

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise FileError(f"{path}: not valid YAML: {error}") from error
    raise FileError(f"{path}: expected a name that ends in .yaml, .yml or .json")


def _walk(path: Path, value: Any, place: str, found: dict[str, str]) -> None:
    if value is None:
        return
    if place in _PLACES:
        found[_PLACES[place]] = _text(path, value, place)
    elif place in _BOUNDS:
        if not isinstance(value, list) or len(value) != 2:
            raise FileError(f"{path}: {place}: expected [lower, upper], got {json.dumps(value, default=str)}", place)
        for end, bound in zip(("MIN", "MAX"), value, strict=True):
            found[f"{_BOUNDS[place]}_{end}_THRESHOLD"] = _text(path, bound, place)
    elif not place or place in _TABLES:
        if not isinstance(value, dict):
            raise FileError(f"{path}: {place or 'the file'}: expected a table, got {type(value).__name__}", place)
        for name, inside in value.items():
            _walk(path, inside, f"{place}.{name}" if place else str(name), found)
    else:
        known = [*_PLACES, *_BOUNDS, *_TABLES]
        close = difflib.get_close_matches(place, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise FileError(f"{path}: {place}: unknown key{hint}", place)


def _text(path: Path, value: Any, place: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    if isinstance(value, str | int | float):
        return str(value)
    raise FileError(f"{path}: {place}: expected a single value, got {type(value).__name__}", place)


def with_file(environ: Environ) -> dict[str, str]:
    """The environment, with what the file says over it if one is named. Raises FileError."""
    named = environ.get(FILE, "").strip()
    return {**environ, **read_file(Path(named).expanduser())} if named else dict(environ)


def settings_of(variables: Environ) -> dict[str, str]:
    """Our keys and their texts, of variables. Raises FileError, which names the variable."""
    found: dict[str, str] = {}
    for each in VARIABLES:
        text = variables.get(each.name)
        if text is None or each.key is None:
            continue
        try:
            value = each.read(text, variables)
        except ValueError as error:
            raise FileError(f"{each.name}: {error}", each.name) from error
        if value is not None:
            found.setdefault(each.key, value)
    return found
