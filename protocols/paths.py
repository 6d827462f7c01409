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
STRATEGIES = "/strategies"


def feed_session(feed: str) -> str:
    """The path of a feed's venue session."""
    return f"{MARKET}/{feed}/session"


def feed_book(feed: str, market: str) -> str:
    """The path of the book keeper of one market of a feed."""
    return f"{MARKET}/{feed}/books/{market}"
