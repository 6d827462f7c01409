"""`--profile`: the environment of a system that Troupe replaces, read as settings of our own.

Variables of an old system are read only where its profile is named, so that no leftover of another program changes a
node. Each variable maps to one key; what has no counterpart is told, with the reason, by `config --explain`.
A variable `TROUPE__…` of the environment and `--set` win over the profile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from actors.cli.report import Exit, failure
from actors.thresholds.old_service import VARIABLES as THRESHOLD_VARIABLES
from actors.thresholds.old_service import FileError, with_file
from runtime.settings import PREFIX

Environ = Mapping[str, str]


class Variable(NamedTuple):
    """An old variable, the key that it sets, and how its text is read (given all variables).

    No `key`: it has no effect, `note` says why. Where several variables set one key, the first that says something
    counts; they may say it together, each of them all of it.
    """

    name: str
    key: str | None
    note: str
    read: Callable[[str, Environ], str | None] = lambda text, environ: text


class Profile(NamedTuple):
    """A configuration in `config/` that stands for the old system, and its variables."""

    config: str
    variables: tuple[Variable, ...]
    read_file: Callable[[Environ], Environ] = lambda environ: environ
    """What a file of the old system, if the environment names one, says as variables; raises FileError."""


def _names(text: str, environ: Environ) -> str | None:
    return json.dumps([name.strip() for name in text.split(",") if name.strip()])


def _only(text: str, environ: Environ) -> str | None:
    """Markets that are named count in the mode that takes them from there."""
    return None if _discovers(environ) else _names(text, environ)


def _discovers(environ: Environ) -> bool:
    return environ.get("RL_MARKET_MODE", "discovery").strip().lower() == "discovery"


def _mode(text: str, environ: Environ) -> str | None:
    mode = text.strip().lower()
    if mode not in ("discovery", "config"):
        raise ValueError(f"expected discovery or config, got {text!r}")
    return None if mode == "discovery" else "0"


def _limit(text: str, environ: Environ) -> str | None:
    return text if _discovers(environ) else None


def _level(text: str, environ: Environ) -> str | None:
    return text.strip().lower()


def _debug(text: str, environ: Environ) -> str | None:
    return "debug" if text.strip().lower() in ("1", "true", "yes", "on") else None


def _plain_url(text: str, environ: Environ) -> str | None:
    """SQLAlchemy's addresses name a driver, `postgresql+asyncpg://`; ours do not."""
    scheme, separator, rest = text.strip().partition("://")
    kind = scheme.partition("+")[0]
    if not scheme:
        return None
    if not separator or kind not in ("postgresql", "postgres"):
        raise ValueError("expected postgresql://…")  # what came may hold a password
    return f"{kind}{separator}{rest}"


def _switch(text: str, environ: Environ) -> str | None:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return "true"
    if word in ("", "0", "false", "no", "off"):
        return "false"
    raise ValueError(f"expected true or false, got {text!r}")


def _level_word(text: str, environ: Environ) -> str | None:
    """Python's names of levels, its two synonyms too."""
    word = text.strip().lower()
    return {"warn": "warning", "fatal": "critical"}.get(word, word)


_MADE_UP: Final = '[{name = "simulated", venue = "simulated", speaks = "binance", markets = ["BTCUSDT", "ETHUSDT"]}]'
"""The simulated venue as Binance, so that its markets have the names under which strategies know the real ones."""


def _simulated(text: str, environ: Environ) -> str | None:
    return _MADE_UP if _switch(text, environ) == "true" else None


def _channels(text: str, environ: Environ) -> str | None:
    """Both channels, out of both variables: the key is one."""
    servers = ",".join(part.strip() for part in environ.get("KAFKA_BOOTSTRAP_SERVERS", "").split(",") if part.strip())
    urls = {"redis": environ.get("REDIS_URL", "").strip(), "kafka": servers}
    tables = [
        f"{{name = {_quoted(kind)}, kind = {_quoted(kind)}, url = {_quoted(url)}, distributor = {_quoted(_SERVICE)}}}"
        for kind, url in urls.items()
        if url
    ]
    return f"[{', '.join(tables)}]" if tables else None


def _kafka(text: str, environ: Environ) -> str | None:
    """The Kafka channel alone: what this service had Redis for is kept in memory."""
    tables = _channels(text, {"KAFKA_BOOTSTRAP_SERVERS": text})
    return None if tables is None else tables.replace(_SERVICE, _STRATEGY_SERVICE)


def _origins(text: str, environ: Environ) -> str | None:
    """A list of JSON, as the service wanted it, or names with commas, as its example had it."""
    if text.strip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            raise ValueError(f"expected a list of origins, got {text!r}") from None
        return json.dumps(found)
    return _names(text, environ)


def _first_choice(text: str, environ: Environ) -> str | None:
    """The threshold service is asked where there is one, unless this says false: then there is none."""
    return "" if _switch(text, environ) == "false" else None


def _share(text: str, environ: Environ) -> str | None:
    """A share of 0 to 1, said as one and not as a percentage."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share of 0 to 1, got {text!r}")
    return text.strip()


def _number(least: float, most: float, *, whole: bool = False) -> Callable[[str, Environ], str | None]:
    """A reader of numbers within bounds, so that the error names the old variable."""
    words = f"{'a whole number' if whole else 'a number'} of at least {least:g}"
    words += f" and at most {most:g}" if most < math.inf else ""

    def read(text: str, environ: Environ) -> str | None:
        try:
            found = int(text) if whole else float(text)
        except ValueError:
            found = math.nan
        if not least <= found <= most or found == math.inf:
            raise ValueError(f"expected {words}, got {text!r}")
        return text.strip()

    return read


def _folder(text: str, environ: Environ) -> str | None:
    folder = Path(text.strip()).expanduser().absolute()
    if text.strip() and not folder.is_dir():
        raise ValueError(f"expected a folder of policy bundles, got {text!r}, which is none")
    return str(folder) if text.strip() else None


def _mebibytes(text: str, environ: Environ) -> str | None:
    try:
        return str(int(text) * 1024 * 1024)
    except ValueError:
        raise ValueError(f"expected a number of MiB, got {text!r}") from None


def _decimal(text: str, environ: Environ) -> str | None:
    """A number as decimal text, which settings of money are."""
    return json.dumps(text.strip())


def _quoted(text: str) -> str:
    """A TOML string: JSON's, but for characters that JSON would write as two or not at all as an escape."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


_SERVICE: Final = "inference-service"
_STRATEGY_SERVICE: Final = "ai-ml-strategy-service"
_STOCKS: Final = "a feed of stocks needs its markets, and its key in a file: add one of the venue"
_RESERVED: Final = 4
"""Places that `config/rl-service.toml` keeps for risk exits."""
_TRAINS: Final = "no node trains by itself: `bin/troupe train`"
_LATER: Final = "read by the training and trading parts, which this version does not have"
_TRAINING: Final = "read by the training parts, which this version does not have"
_REQUEST: Final = "each backtest says its own; what it leaves out has the default of its route"

PROFILES: Final[dict[str, Profile]] = {
    "threshold": Profile("threshold", tuple(Variable(*each) for each in THRESHOLD_VARIABLES), with_file),
    "kalshi": Profile(
        "kalshi",
        (
            Variable("HOST", "edge.host", "where HTTP is served"),
            Variable("PORT", "edge.port", "where HTTP is served"),
            Variable("KALSHI_WS_URL", "feeds.0.url", "the venue's WebSocket"),
            Variable("KALSHI_API_URL", "feeds.0.rest_url", "the venue's REST interface"),
            Variable("KALSHI_API_KEY_ID", "feeds.0.key_id", "the account's key"),
            Variable("KALSHI_PRIVATE_KEY_PATH", "feeds.0.key_file", "the account's private key (PEM)"),
            Variable("DATABASE_URL", "database.url", "the database; unset: an embedded one"),
            Variable("DATABASE_URL_POOLED", None, "there is one pool: DATABASE_URL is used for everything"),
            Variable("RL_MARKET_TICKERS", "feeds.0.markets", "the markets, unless they are discovered", _only),
            Variable("RL_MARKET_TICKER", "feeds.0.markets", "the market, unless RL_MARKET_TICKERS is set", _only),
            Variable("RL_MARKET_MODE", "feeds.0.discover", "`discovery` (by volume) or `config` (by name)", _mode),
            Variable("RL_ORDERBOOK_MARKET_LIMIT", "feeds.0.discover", "how many markets are discovered", _limit),
            Variable("RL_ORDERBOOK_BATCH_SIZE", "database.batch_rows", "rows that are moved at once"),
            Variable("RL_ORDERBOOK_FLUSH_INTERVAL", "database.interval_s", "how long rows wait for more, in seconds"),
            Variable("RL_ORDERBOOK_SAMPLE_RATE", "store.sample_every", "every how many updates a sample is kept"),
            Variable("RL_ORDERBOOK_MAX_QUEUE_SIZE", "store.queue", "updates that may wait"),
            Variable("RL_WEBSOCKET_TIMEOUT", "feeds.0.silence_s", "how long the venue may be silent, in seconds"),
            Variable("RL_WEBSOCKET_RECONNECT_DELAY", "feeds.0.backoff_s", "the first wait, in seconds"),
            Variable("RL_WEBSOCKET_PING_INTERVAL", None, "the venue pings; silence is judged by RL_WEBSOCKET_TIMEOUT"),
            Variable("RL_MAX_RECONNECT_ATTEMPTS", None, "a feed reconnects for as long as it runs"),
            Variable("RL_DB_POOL_MAX_SIZE", "database.connections", "queries at once"),
            Variable("RL_DB_POOL_MIN_SIZE", None, "connections are made when they are needed"),
            Variable("RL_DB_POOL_TIMEOUT", None, "each query has its own deadline"),
            Variable("RL_LOG_LEVEL", "telemetry.level", "the least level that is logged", _level),
            Variable("DEBUG", "telemetry.level", "true: debug, unless RL_LOG_LEVEL is set", _debug),
            Variable("ENVIRONMENT", None, "the venue's address says whether it is a practice environment"),
            Variable("RL_MODEL_STORAGE_PATH", None, _LATER),
            Variable("RL_MODEL_REFRESH_INTERVAL", None, _LATER),
            Variable("RL_TRAINING_WINDOW_HOURS", None, _LATER),
            Variable("RL_MAX_EPISODE_STEPS", None, _LATER),
        ),
    ),
    "inference": Profile(
        "inference",
        (
            Variable(
                "HOST", "edge.host", "where HTTP is served; beyond loopback only with edge.authentication = token"
            ),
            Variable("SERVICE_PORT", "edge.port", "where HTTP is served"),
            Variable("AI_ML_DATABASE_URL", "library.ai_ml_url", "the database of the code strategies", _plain_url),
            Variable("NO_CODE_DATABASE_URL", "library.no_code_url", "the database of the drawn strategies", _plain_url),
            Variable("REDIS_URL", "channels", "where signals are published; unset: not to Redis", _channels),
            Variable("KAFKA_BOOTSTRAP_SERVERS", "channels", "where signals are sent; unset: not to Kafka", _channels),
            Variable("USE_MOCK_MARKET_DATA", "feeds", "true: the simulated venue, marked synthetic", _simulated),
            Variable("POLYGON_API_KEY", None, f"{_STOCKS} massive"),
            Variable("ALPHA_VANTAGE_API_KEY", None, f"{_STOCKS} alphavantage"),
            Variable("IEX_CLOUD_API_KEY", None, "no feed: that provider has ended its service"),
            Variable("JWT_SECRET_KEY", None, "callers have the bearer token, which is made in the data folder"),
            Variable(
                "RATE_LIMIT_PER_MINUTE", None, "requests are not counted: edge.limits bounds connections and times"
            ),
            Variable("MAX_CONCURRENT_STRATEGIES", "runs.max_concurrent", "how many strategies may run"),
            Variable("STRATEGY_EXECUTION_TIMEOUT", "sandbox.call_s", "how long one call may take, in seconds"),
            Variable("MAX_STRATEGY_MEMORY_MB", "sandbox.memory_mb", "what a strategy may allocate, in MiB"),
            Variable(
                "SIGNAL_COOLDOWN_SECONDS", "runs.signal_cooldown_s", "between two signals in a symbol, in seconds"
            ),
            Variable("CACHE_TTL_SECONDS", "library.cache_s", "how long a strategy is not asked for again, in seconds"),
            Variable("MAX_CACHE_SIZE", "library.cache_entries", "how many strategies are kept for that"),
            Variable("ENABLE_TEST_ENDPOINTS", "signals.test_endpoints", "whether test signals can be made", _switch),
            Variable("MAX_WEBSOCKET_CONNECTIONS", "signals.max_subscribers", "clients of the signal stream at a time"),
            Variable("WEBSOCKET_PING_INTERVAL", "edge.limits.websocket_ping_s", "how often a silent client is pinged"),
            Variable("WEBSOCKET_MAX_MESSAGE_SIZE", "edge.limits.websocket_message_bytes", "of a client, in bytes"),
            Variable("LOG_LEVEL", "telemetry.level", "the least level that is logged", _level_word),
        ),
    ),
    "rl-service": Profile(
        "rl-service",
        (
            Variable(
                "HOST", "edge.host", "where HTTP is served; beyond loopback only with edge.authentication = token"
            ),
            Variable("PORT", "edge.port", "where HTTP is served"),
            Variable("LOG_LEVEL", "telemetry.level", "the least level that is logged", _level_word),
            Variable("WORKERS", None, "one process serves: its actors and the threads of its models share the work"),
            Variable("AB_TESTING_ENABLED", "experiments.0.enabled", "whether users are assigned to arms", _switch),
            Variable(
                "RL_TRAFFIC_PERCENTAGE",
                "experiments.0.rl_traffic_percentage",
                "the share of users that the model serves, 0 to 1",
                _share,
            ),
            Variable(
                "PREDICTION_TIMEOUT_SECONDS",
                "decisions.timeout_s",
                "until when a request is answered that does not say it, in seconds",
                _number(0.001, 30.0),
            ),
            Variable(
                "MAX_CONCURRENT_REQUESTS",
                "decisions.capacity",
                "predictions that may wait",
                _number(_RESERVED + 1, 1_000_000, whole=True),
            ),
            Variable(
                "CACHE_TTL_SECONDS",
                "decisions.cache_ttl_s",
                "how long an equal question is not decided again",
                _number(0.0, math.inf),
            ),
            Variable(
                "RL_MODELS_PATH",
                "decisions.models_dir",
                "the folder whose `<name>.bundle` serves the name, at the first start",
                _folder,
            ),
            Variable("TRADING_SERVICE_URL", "bridges.trading_url", "the trading service; unset: none is called"),
            Variable("DATA_AGGREGATOR_URL", "bridges.data_url", "the data aggregator; unset: none is called"),
            Variable(
                "FALLBACK_TO_ADAPTIVE_THRESHOLD",
                "bridges.threshold_url",
                "false: no threshold service is called, whatever ADAPTIVE_THRESHOLD_URL says",
                _first_choice,
            ),
            Variable("ADAPTIVE_THRESHOLD_URL", "bridges.threshold_url", "the threshold service; unset: none is called"),
            Variable("DATABASE_URL", "database.url", "the database; unset: an embedded one", _plain_url),
            Variable("REDIS_URL", None, "what is cached is in memory; signals go there by [[channels]]"),
            *(
                Variable(f"RL_{name}", None, f"{_TRAINS} {option}")
                for name, option in (
                    ("ALGORITHM", "--algorithm"),
                    ("TOTAL_TIMESTEPS", "--timesteps"),
                    ("RANDOM_SEED", "--seed"),
                    ("TRAIN_SPLIT", "--train-share"),
                    ("LEARNING_RATE", "--hyperparameter learning_rate=…"),
                    ("BATCH_SIZE", "--hyperparameter batch_size=…"),
                    ("LOOKBACK_WINDOW", "--lookback"),
                    ("EPISODE_LENGTH", "--episode-steps"),
                    ("MAX_EPISODE_STEPS", "--episode-steps"),
                    ("INITIAL_BALANCE", "--cash"),
                    ("MIN_TRADE_AMOUNT", "--min-trade"),
                    ("TRANSACTION_COST", "--fee"),
                    ("SLIPPAGE_RATE", "--slippage"),
                    ("REWARD_SCALING", "--reward-scale"),
                )
            ),
        ),
    ),
    "ml-strategy": Profile(
        "ml-strategy",
        (
            Variable(
                "HOST", "edge.host", "where HTTP is served; beyond loopback only with edge.authentication = token"
            ),
            Variable("PORT", "edge.port", "where HTTP is served"),
            Variable("ALLOWED_ORIGINS", "edge.origins", "whose pages may call", _origins),
            Variable("DATABASE_URL", "database.url", "the database; unset: an embedded one", _plain_url),
            Variable("TIMESCALE_DATABASE_URL", None, "there is one database: DATABASE_URL is used for everything"),
            Variable("DATABASE_POOL_SIZE", "database.connections", "queries at once"),
            Variable("DATABASE_MAX_OVERFLOW", None, "queries beyond the connections wait"),
            Variable("KAFKA_BOOTSTRAP_SERVERS", "channels", "where signals are sent; unset: not to Kafka", _kafka),
            Variable("KAFKA_CONSUMER_GROUP", None, "nothing is read from Kafka"),
            Variable("REDIS_URL", None, "what the service cached there is in memory; signals go there by [[channels]]"),
            Variable("REDIS_POOL_SIZE", None, "what the service cached there is in memory"),
            Variable("CODE_EXECUTION_TIMEOUT", "sandbox.call_s", "how long one call may take, in seconds"),
            Variable("MAX_DATASET_SIZE_MB", "datasets.max_upload_bytes", "the largest file, in MiB", _mebibytes),
            Variable(
                "PAPER_TRADING_INITIAL_CAPITAL", "execution.paper_capital", "of accounts that do not say", _decimal
            ),
            Variable("PAPER_TRADING_MAX_POSITIONS", "execution.paper_max_positions", "of accounts that do not say"),
            Variable("LOG_LEVEL", "telemetry.level", "the least level that is logged", _level_word),
            Variable("DEBUG", "telemetry.level", "true: debug, unless LOG_LEVEL is set", _debug),
            Variable("ENVIRONMENT", None, "nothing differs between environments"),
            Variable("SECRET_KEY", None, "callers have the bearer token, which is made in the data folder"),
            Variable("ACCESS_TOKEN_EXPIRE_MINUTES", None, "the bearer token does not expire"),
            Variable("REFRESH_TOKEN_EXPIRE_DAYS", None, "the bearer token does not expire"),
            Variable(
                "RATE_LIMIT_PER_MINUTE", None, "requests are not counted: edge.limits bounds connections and times"
            ),
            Variable("RATE_LIMIT_BURST", None, "requests are not counted: edge.limits bounds connections and times"),
            Variable("DEFAULT_INITIAL_CAPITAL", None, _REQUEST),
            Variable("DEFAULT_COMMISSION", None, _REQUEST),
            Variable("DEFAULT_SLIPPAGE", None, _REQUEST),
            Variable("MAX_BACKTEST_YEARS", None, "a backtest is as long as its data; backtests.timeout_s ends it"),
            Variable("PROMETHEUS_PORT", None, "metrics are served where everything is"),
            Variable("ENABLE_METRICS", None, "metrics are always there"),
            Variable("AUTH_SERVICE_URL", None, "callers have the bearer token, which is made in the data folder"),
            Variable("TRADING_ENGINE_URL", None, "the node trades itself"),
            Variable("MARKET_DATA_SERVICE_URL", None, "the node's feeds are its market data"),
            Variable("GCP_PROJECT_ID", None, _TRAINING),
            Variable("GCP_REGION", None, _TRAINING),
            Variable("GCS_BUCKET_NAME", None, _TRAINING),
            Variable("VERTEX_AI_LOCATION", None, _TRAINING),
            Variable("MLFLOW_TRACKING_URI", None, _TRAINING),
            Variable("MLFLOW_EXPERIMENT_NAME", None, _TRAINING),
            Variable("MAX_TRAINING_TIME_HOURS", None, _TRAINING),
            Variable("MODEL_STORAGE_BACKEND", None, _TRAINING),
            Variable("MODEL_STORAGE_BUCKET", None, _TRAINING),
            Variable("LOCAL_MODEL_STORAGE_PATH", None, _TRAINING),
            Variable("TRAINING_ORCHESTRATOR_URL", None, _TRAINING),
            Variable("TRAINING_ORCHESTRATOR_TOKEN", None, _TRAINING),
            Variable("TRAINING_JOB_QUEUE_TOPIC", None, _TRAINING),
            Variable("TRAINING_CALLBACK_BASE_URL", None, _TRAINING),
        ),
    ),
}


class Translated(NamedTuple):
    """What became of one variable: its key and the value it gives, or (`value` None) why it gives none."""

    variable: Variable
    set: bool
    value: str | None


def profile(name: str) -> Profile:
    """The profile. Raises CommandError (usage) for a name that is none."""
    try:
        return PROFILES[name]
    except KeyError:
        hint = f"there are: {', '.join(sorted(PROFILES))}"
        raise failure(Exit.USAGE, "no_profile", f"no profile {name!r}", field="profile", hint=hint) from None


def translate(wanted: Profile, environ: Environ) -> list[Translated]:
    """What each of its variables gives, in order. Raises CommandError (usage) for a text that cannot be read."""
    try:
        environ = wanted.read_file(environ)
    except FileError as error:
        raise failure(Exit.USAGE, "invalid", str(error), field=error.field or None) from None
    done: list[Translated] = []
    given: dict[str, str] = {}
    for variable in wanted.variables:
        text = environ.get(variable.name)
        value: str | None = None
        if text is not None and variable.key is not None:
            try:
                value = variable.read(text, environ)
            except ValueError as error:
                raise failure(
                    Exit.USAGE, "invalid", f"the variable {variable.name}: {error}", field=variable.name
                ) from None
            if value is not None and given.setdefault(variable.key, value) != value:
                value = None
        done.append(Translated(variable, text is not None, value))
    return done


def environment(wanted: Profile, environ: Environ) -> dict[str, str]:
    """The environment with the profile's variables as ours; ours win. Raises CommandError (usage)."""
    ours = {
        variable_of(each.variable.key): each.value
        for each in translate(wanted, environ)
        if each.value is not None and each.variable.key is not None
    }
    return {**ours, **environ}


def variable_of(key: str) -> str:
    """Our own variable of a key: `feeds.0.url` is `TROUPE__FEEDS__0__URL`."""
    return PREFIX + key.upper().replace(".", "__")


def explained(wanted: Profile, environ: Environ) -> list[tuple[str, str, str]]:
    """(variable, our own variable, what became of it) for each variable of the profile."""
    rows = []
    for each in translate(wanted, environ):
        key = each.variable.key
        ours = "" if key is None else variable_of(key)
        if key is None:
            became = f"no effect: {each.variable.note}"
        elif each.set and ours in environ:
            became = f"set, not used: {ours} is set, too"
        elif each.value is not None:
            became = each.variable.note
        elif each.set:
            became = f"set, not used: {each.variable.note}"
        else:
            became = f"not set: {each.variable.note}"
        rows.append((each.variable.name, ours or "—", became))
    return rows
