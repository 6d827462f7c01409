"""Well-known paths of the tree: where a capability may be found without importing it."""

STORAGE_POSTGRES = "/storage/postgres"
STORAGE_WRITER = "/storage/writer"
QUERIES = "/storage/queries"
HUB = "/signals/hub"
STREAM = "/signals/stream"
MONITOR = "/monitor"
EDGE = "/edge"
MARKET = "/market"
VENUE = "/market/venue"
MARKET_INDEX = "/market/index"
LARGE_FRAMES = "/market/decoder"
INSTRUMENTS = "/market/instruments"
STRATEGIES = "/strategies"
DECISIONS = "/decisions/server"
MODELS = "/decisions/models"
DECISION_RESULTS = "/decisions/results"
EXPERIMENTS = "/decisions/experiments"
ROLLOUTS = "/decisions/rollouts"
TRADING_BRIDGE = "/decisions/bridges/trading"
DATA_BRIDGE = "/decisions/bridges/data"
THRESHOLD_BRIDGE = "/decisions/bridges/threshold"
THRESHOLDS = "/thresholds"
THRESHOLD_ROSTER = "/thresholds/roster"
THRESHOLD_USERS = "/thresholds/users"
THRESHOLD_STATES = "/thresholds/states"
THRESHOLD_CACHE = "/thresholds/cache"
THRESHOLD_OUTCOMES = "/thresholds/outcomes"
AGENTS = "/agents"
AGENT_ROSTER = "/agent_roster"
ALERTS = "/alerts"
DRIFT = "/drift"


def feed_shard(feed: str, number: int) -> str:
    """The name of one shard of a feed whose markets are divided: a feed of its own, with its session and books.

    Only a shard's name has a slash in it, so that `/market/<name>` is the place of both kinds.
    """
    return f"{feed}/{number}"


def feed_session(feed: str) -> str:
    """The path of a feed's venue session; of one that is divided: of the actor that stands for those of its shards."""
    return f"{MARKET}/{feed}/session"


def feed_books(feed: str) -> str:
    """The path of the supervisor of a feed's book keepers."""
    return f"{MARKET}/{feed}/books"


def feed_book(feed: str, market: str) -> str:
    """The path of the book keeper of one market of a feed."""
    return f"{MARKET}/{feed}/books/{market}"


def venue_budget(venue: str) -> str:
    """The path of the keeper of a venue account's rate limits."""
    return f"{MARKET}/budgets/{venue}"
