"""Books: snapshots, deltas, sessions, samples and 10-second signals; and the functions that keep partitions.

The tables of rows are partitioned by the time at which the database got the row, so that a partition is full when its
day is over, whatever times the rows speak of (a replay's are old). A default partition takes what no other does: a row
is never refused for want of one.

What follows from a row is computed here and not by the node: `timestamp_ms`, `action`, levels as JSON, spreads.
"""

from alembic import op

revision = "market_0002"
down_revision = "market_0001"
branch_labels = None
depends_on = None

FUNCTIONS = """
CREATE OR REPLACE FUNCTION market_int8(packed bytea, place integer) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT get_byte(packed, place)::bigint
        | (get_byte(packed, place + 1)::bigint << 8) | (get_byte(packed, place + 2)::bigint << 16)
        | (get_byte(packed, place + 3)::bigint << 24) | (get_byte(packed, place + 4)::bigint << 32)
        | (get_byte(packed, place + 5)::bigint << 40) | (get_byte(packed, place + 6)::bigint << 48)
        | (get_byte(packed, place + 7)::bigint << 56)
$$;
COMMENT ON FUNCTION market_int8 IS 'The little-endian int64 at an offset';

CREATE OR REPLACE FUNCTION market_levels(packed bytea) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(market_int8(packed, place), market_int8(packed, place + 8)), '{}')
    FROM generate_series(0, length(packed) - 16, 16) AS place
$$;
COMMENT ON FUNCTION market_levels IS 'Packed levels as {price: size}, in nanos';

CREATE OR REPLACE FUNCTION market_no_levels(packed bytea, yes_no boolean) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN yes_no THEN (
        SELECT coalesce(
            jsonb_object_agg(1000000000 - market_int8(packed, place), market_int8(packed, place + 8)), '{}'
        )
        FROM generate_series(0, length(packed) - 16, 16) AS place
    ) END
$$;
COMMENT ON FUNCTION market_no_levels IS
    'The NO side that follows from a YES side: {1 - price: size}; NULL where there is no NO side';

CREATE OR REPLACE FUNCTION market_volume(packed bytea) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(sum(market_int8(packed, place)), 0) FROM generate_series(8, length(packed) - 8, 16) AS place
$$;
COMMENT ON FUNCTION market_volume IS 'The sum of the sizes of packed levels, in nanos';

CREATE OR REPLACE FUNCTION market_spread(bids bytea, asks bytea) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN length(bids) > 0 AND length(asks) > 0 THEN market_int8(asks, 0) - market_int8(bids, 0) END
$$;
COMMENT ON FUNCTION market_spread IS 'Best ask less best bid, in nanos; NULL where a side is empty';

CREATE OR REPLACE FUNCTION market_mid(bids bytea, asks bytea) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN length(bids) > 0 AND length(asks) > 0
        THEN (market_int8(asks, 0)::numeric + market_int8(bids, 0)) / 2 END
$$;
COMMENT ON FUNCTION market_mid IS 'The mean of the best prices, in nanos; NULL where a side is empty';

CREATE OR REPLACE FUNCTION market_whole(nanos bigint, unit bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN nanos % unit = 0 THEN nanos / unit END
$$;
COMMENT ON FUNCTION market_whole IS 'How many units, or NULL where it is not a whole number of them';

CREATE OR REPLACE FUNCTION market_cents(levels jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN coalesce(bool_and(
            key::bigint % 10000000 = 0 AND value::bigint % 1000000000 = 0), true)
        THEN coalesce(jsonb_object_agg(key::bigint / 10000000, value::bigint / 1000000000), '{}') END
    FROM jsonb_each_text(levels)
$$;
COMMENT ON FUNCTION market_cents IS '{price: size} in cents and contracts; NULL where any of them is not whole';

CREATE OR REPLACE FUNCTION market_make_partitions(parent text, step interval, first timestamptz, until timestamptz)
    RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz := date_trunc(CASE WHEN step = interval '1 day' THEN 'day' ELSE 'month' END, first, 'UTC');
    made integer := 0;
    name text;
    taken boolean;
BEGIN
    WHILE at < until LOOP
        name := parent || '_p' || to_char(at AT TIME ZONE 'UTC', 'YYYYMMDD');
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE created_at >= %L AND created_at < %L)',
                parent || '_default', at, at + step) INTO taken;
            -- Rows that are in the default partition already stay there.
            IF NOT taken THEN
                -- Attaching takes a lock that lets rows come in meanwhile; CREATE ... PARTITION OF does not.
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    parent, name, at, at + step);
                made := made + 1;
            END IF;
        END IF;
        at := at + step;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION market_make_partitions IS
    'Make the partitions of a table from a time up to another, as far as they are not there; returns how many';

CREATE OR REPLACE FUNCTION market_partition(parent text, step interval) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I DEFAULT', parent || '_default', parent);
    PERFORM market_make_partitions(parent, step, now(), now() + step);
END
$$;
COMMENT ON FUNCTION market_partition IS 'Give a new partitioned table its default partition and its first others'
"""

TABLES = """
CREATE SEQUENCE IF NOT EXISTS market_rows CACHE 1000;
COMMENT ON SEQUENCE market_rows IS 'Numbers rows in the order in which they came: each writer takes 1000 at a time';

CREATE TABLE IF NOT EXISTS rl_orderbook_snapshots (
    id bigint NOT NULL DEFAULT nextval('market_rows'),
    created_at timestamptz NOT NULL DEFAULT now(),
    sequence_number bigint NOT NULL CHECK (sequence_number >= 0),
    ts_event bigint NOT NULL,
    ts_recv bigint NOT NULL,
    timestamp_ms bigint NOT NULL
        GENERATED ALWAYS AS (CASE WHEN ts_event <> 0 THEN ts_event ELSE ts_recv END / 1000000) STORED,
    sid integer,
    yes_no boolean NOT NULL,
    kind text NOT NULL CHECK (kind IN ('snapshot', 'checkpoint')),
    market_ticker text NOT NULL,
    session_id text NOT NULL,
    packed_bids bytea NOT NULL CHECK (length(packed_bids) % 16 = 0),
    packed_asks bytea NOT NULL CHECK (length(packed_asks) % 16 = 0),
    marks text[] NOT NULL,
    yes_bids jsonb GENERATED ALWAYS AS (market_levels(packed_bids)) STORED,
    yes_asks jsonb GENERATED ALWAYS AS (market_levels(packed_asks)) STORED,
    no_bids jsonb GENERATED ALWAYS AS (market_no_levels(packed_asks, yes_no)) STORED,
    no_asks jsonb GENERATED ALWAYS AS (market_no_levels(packed_bids, yes_no)) STORED,
    yes_spread bigint GENERATED ALWAYS AS (market_spread(packed_bids, packed_asks)) STORED,
    no_spread bigint
        GENERATED ALWAYS AS (CASE WHEN yes_no THEN market_spread(packed_bids, packed_asks) END) STORED,
    yes_mid_price numeric GENERATED ALWAYS AS (market_mid(packed_bids, packed_asks)) STORED,
    no_mid_price numeric
        GENERATED ALWAYS AS (CASE WHEN yes_no THEN 1000000000 - market_mid(packed_bids, packed_asks) END) STORED,
    total_volume numeric GENERATED ALWAYS AS (market_volume(packed_bids) + market_volume(packed_asks)) STORED
) PARTITION BY RANGE (created_at);
CREATE INDEX IF NOT EXISTS rl_orderbook_snapshots_by_sequence
    ON rl_orderbook_snapshots (market_ticker, session_id, sequence_number);
CREATE INDEX IF NOT EXISTS rl_orderbook_snapshots_by_time ON rl_orderbook_snapshots (market_ticker, ts_recv);
SELECT market_partition('rl_orderbook_snapshots', interval '1 day');
COMMENT ON TABLE rl_orderbook_snapshots IS
    'Whole books, on the YES scale; prices and sizes in nanos, times in ns since the Unix epoch, UTC';
COMMENT ON COLUMN rl_orderbook_snapshots.packed_bids IS 'int64 price, int64 size, little-endian, best first';
COMMENT ON COLUMN rl_orderbook_snapshots.kind IS
    'snapshot: from the venue; checkpoint: computed from the rows before, at the end of this message';

CREATE TABLE IF NOT EXISTS rl_orderbook_deltas (
    id bigint NOT NULL DEFAULT nextval('market_rows'),
    created_at timestamptz NOT NULL DEFAULT now(),
    sequence_number bigint NOT NULL CHECK (sequence_number >= 0),
    ts_event bigint NOT NULL,
    ts_recv bigint NOT NULL,
    timestamp_ms bigint NOT NULL
        GENERATED ALWAYS AS (CASE WHEN ts_event <> 0 THEN ts_event ELSE ts_recv END / 1000000) STORED,
    price bigint NOT NULL,
    old_size bigint NOT NULL CHECK (old_size >= 0),
    new_size bigint NOT NULL CHECK (new_size >= 0),
    sid integer,
    remaining integer NOT NULL,
    market_ticker text NOT NULL,
    session_id text NOT NULL,
    side text NOT NULL CHECK (side IN ('yes', 'no', 'bid', 'ask')),
    action text NOT NULL GENERATED ALWAYS AS
        (CASE WHEN new_size = 0 THEN 'remove' WHEN old_size = 0 THEN 'add' ELSE 'update' END) STORED
) PARTITION BY RANGE (created_at);
CREATE INDEX IF NOT EXISTS rl_orderbook_deltas_by_sequence
    ON rl_orderbook_deltas (market_ticker, session_id, sequence_number);
SELECT market_partition('rl_orderbook_deltas', interval '1 day');
COMMENT ON TABLE rl_orderbook_deltas IS
    'Changed levels, each with its size before and after, in nanos; a message is its rows down to remaining = 0';
COMMENT ON COLUMN rl_orderbook_deltas.side IS
    'yes, no: a bid of that leg at the leg''s own price; bid, ask where there are no legs';

CREATE TABLE IF NOT EXISTS rl_orderbook_sessions (
    session_id text PRIMARY KEY,
    market_tickers text[] NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    status text NOT NULL CHECK (status IN ('active', 'closed', 'error')),
    websocket_url text NOT NULL,
    environment text NOT NULL,
    messages_received bigint NOT NULL DEFAULT 0,
    snapshots_count bigint NOT NULL DEFAULT 0,
    deltas_count bigint NOT NULL DEFAULT 0,
    last_message_at timestamptz,
    error_message text,
    feed text NOT NULL,
    venue text NOT NULL,
    node text NOT NULL
);
CREATE INDEX IF NOT EXISTS rl_orderbook_sessions_active ON rl_orderbook_sessions (node) WHERE status = 'active';
CREATE INDEX IF NOT EXISTS rl_orderbook_sessions_by_time ON rl_orderbook_sessions (started_at);
COMMENT ON TABLE rl_orderbook_sessions IS
    'Stored sessions: in each, every market has a snapshot and then every change, with no hole';

CREATE TABLE IF NOT EXISTS rl_orderbook_session_markets (
    session_id text NOT NULL,
    market_ticker text NOT NULL,
    first_sequence bigint NOT NULL,
    last_sequence bigint,
    first_ts_recv bigint NOT NULL,
    last_ts_recv bigint,
    ended_ts bigint,
    reason text,
    PRIMARY KEY (session_id, market_ticker)
);
CREATE INDEX IF NOT EXISTS rl_orderbook_session_markets_by_time
    ON rl_orderbook_session_markets (market_ticker, first_ts_recv);
COMMENT ON TABLE rl_orderbook_session_markets IS
    'From where to where a market is stored in a session, and why it ended; no last_sequence: it goes on';

CREATE TABLE IF NOT EXISTS rl_orderbook_session_events (
    id bigint NOT NULL DEFAULT nextval('market_rows'),
    created_at timestamptz NOT NULL DEFAULT now(),
    event text NOT NULL CHECK (event IN ('started', 'opened', 'ended', 'progress', 'closed')),
    node text NOT NULL,
    ts bigint NOT NULL,
    session_id text NOT NULL,
    market_ticker text NOT NULL,
    feed text NOT NULL,
    venue text NOT NULL,
    websocket_url text NOT NULL,
    environment text NOT NULL,
    sequence_number bigint NOT NULL,
    ts_recv bigint NOT NULL,
    reason text NOT NULL,
    messages_received bigint NOT NULL,
    snapshots_count bigint NOT NULL,
    deltas_count bigint NOT NULL
) PARTITION BY RANGE (created_at);
SELECT market_partition('rl_orderbook_session_events', interval '1 day');
COMMENT ON TABLE rl_orderbook_session_events IS 'What happened to stored sessions; makes rl_orderbook_sessions';

CREATE TABLE IF NOT EXISTS rl_orderbook_samples (
    id bigint NOT NULL DEFAULT nextval('market_rows'),
    created_at timestamptz NOT NULL DEFAULT now(),
    sequence_number bigint NOT NULL,
    ts_event bigint NOT NULL,
    ts_recv bigint NOT NULL,
    timestamp_ms bigint NOT NULL
        GENERATED ALWAYS AS (CASE WHEN ts_event <> 0 THEN ts_event ELSE ts_recv END / 1000000) STORED,
    sid integer,
    yes_no boolean NOT NULL,
    market_ticker text NOT NULL,
    session_id text NOT NULL,
    packed_bids bytea NOT NULL,
    packed_asks bytea NOT NULL,
    total_volume numeric NOT NULL,
    marks text[] NOT NULL,
    yes_bids jsonb GENERATED ALWAYS AS (market_levels(packed_bids)) STORED,
    yes_asks jsonb GENERATED ALWAYS AS (market_levels(packed_asks)) STORED,
    no_bids jsonb GENERATED ALWAYS AS (market_no_levels(packed_asks, yes_no)) STORED,
    no_asks jsonb GENERATED ALWAYS AS (market_no_levels(packed_bids, yes_no)) STORED,
    yes_spread bigint GENERATED ALWAYS AS (market_spread(packed_bids, packed_asks)) STORED,
    yes_mid_price numeric GENERATED ALWAYS AS (market_mid(packed_bids, packed_asks)) STORED
) PARTITION BY RANGE (created_at);
CREATE INDEX IF NOT EXISTS rl_orderbook_samples_by_time ON rl_orderbook_samples (market_ticker, ts_recv);
SELECT market_partition('rl_orderbook_samples', interval '1 day');
COMMENT ON TABLE rl_orderbook_samples IS 'The best levels at one of every so many updates; not for replay';

CREATE TABLE IF NOT EXISTS orderbook_signals (
    id bigint NOT NULL DEFAULT nextval('market_rows'),
    created_at timestamptz NOT NULL DEFAULT now(),
    market_ticker text NOT NULL,
    session_id text NOT NULL,
    bucket_start bigint NOT NULL,
    bucket_end bigint NOT NULL,
    yes_no boolean NOT NULL,
    yes_spread_open bigint,
    yes_spread_high bigint,
    yes_spread_low bigint,
    yes_spread_close bigint,
    no_spread_open bigint GENERATED ALWAYS AS (CASE WHEN yes_no THEN yes_spread_open END) STORED,
    no_spread_high bigint GENERATED ALWAYS AS (CASE WHEN yes_no THEN yes_spread_high END) STORED,
    no_spread_low bigint GENERATED ALWAYS AS (CASE WHEN yes_no THEN yes_spread_low END) STORED,
    no_spread_close bigint GENERATED ALWAYS AS (CASE WHEN yes_no THEN yes_spread_close END) STORED,
    bid_volume_mean numeric,
    ask_volume_mean numeric,
    bid_top_size bigint NOT NULL,
    ask_top_size bigint NOT NULL,
    bid_top_size_max bigint NOT NULL,
    ask_top_size_max bigint NOT NULL,
    updates bigint NOT NULL,
    quotes bigint NOT NULL,
    marks text[] NOT NULL
) PARTITION BY RANGE (created_at);
CREATE INDEX IF NOT EXISTS orderbook_signals_by_time ON orderbook_signals (market_ticker, bucket_start);
SELECT market_partition('orderbook_signals', interval '1 day');
COMMENT ON TABLE orderbook_signals IS 'Spread, volumes and top sizes of each book over 10 seconds; all in nanos'
"""

# A deferred trigger sees all rows of its transaction: the writer copies one table after the other, and a session that
# a killed node left open ends with its last row.
SESSIONS = """
CREATE OR REPLACE FUNCTION market_session_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz := to_timestamp(NEW.ts / 1000 / 1e6);
    heard timestamptz := CASE WHEN NEW.ts_recv > 0 THEN to_timestamp(NEW.ts_recv / 1000 / 1e6) END;
BEGIN
    IF NEW.event = 'started' THEN
        -- Opened, and killed before the book itself was stored.
        DELETE FROM rl_orderbook_session_markets AS held USING rl_orderbook_sessions AS session
        WHERE session.node = NEW.node AND session.status = 'active' AND held.session_id = session.session_id
            AND held.last_sequence IS NULL AND NOT EXISTS (
                SELECT FROM rl_orderbook_snapshots AS whole
                WHERE whole.market_ticker = held.market_ticker AND whole.session_id = held.session_id
            );
        UPDATE rl_orderbook_session_markets AS held SET
            last_sequence = stored.sequence_number, last_ts_recv = stored.ts_recv, ended_ts = stored.ts_recv,
            reason = NEW.reason
        FROM rl_orderbook_sessions AS session, rl_orderbook_session_markets AS same
        CROSS JOIN LATERAL (
            (SELECT delta.sequence_number, delta.ts_recv FROM rl_orderbook_deltas AS delta
            WHERE delta.market_ticker = same.market_ticker AND delta.session_id = same.session_id
                AND delta.remaining = 0
            ORDER BY delta.sequence_number DESC LIMIT 1)
            UNION ALL
            (SELECT whole.sequence_number, whole.ts_recv FROM rl_orderbook_snapshots AS whole
            WHERE whole.market_ticker = same.market_ticker AND whole.session_id = same.session_id
            ORDER BY whole.sequence_number DESC LIMIT 1)
            ORDER BY sequence_number DESC LIMIT 1
        ) AS stored
        WHERE session.node = NEW.node AND session.status = 'active'
            AND same.session_id = session.session_id AND same.last_sequence IS NULL
            AND held.session_id = same.session_id AND held.market_ticker = same.market_ticker;
        UPDATE rl_orderbook_sessions AS session SET
            status = 'closed', error_message = NEW.reason,
            last_message_at = greatest(session.last_message_at, last.at),
            ended_at = greatest(session.started_at, session.last_message_at, last.at)
        FROM rl_orderbook_sessions AS same LEFT JOIN (
            SELECT held.session_id, to_timestamp(max(held.last_ts_recv) / 1000 / 1e6) AS at
            FROM rl_orderbook_session_markets AS held GROUP BY held.session_id
        ) AS last USING (session_id)
        WHERE same.node = NEW.node AND same.status = 'active' AND session.session_id = same.session_id;
    ELSIF NEW.event = 'opened' THEN
        INSERT INTO rl_orderbook_sessions AS session (
            session_id, market_tickers, started_at, status, websocket_url, environment, feed, venue, node,
            snapshots_count, messages_received, last_message_at
        ) VALUES (
            NEW.session_id, ARRAY[NEW.market_ticker], at, 'active', NEW.websocket_url, NEW.environment,
            NEW.feed, NEW.venue, NEW.node, NEW.snapshots_count, NEW.messages_received, heard
        ) ON CONFLICT (session_id) DO UPDATE SET
            market_tickers = session.market_tickers || NEW.market_ticker, status = 'active', ended_at = NULL,
            error_message = NULL;
        INSERT INTO rl_orderbook_session_markets (session_id, market_ticker, first_sequence, first_ts_recv)
        VALUES (NEW.session_id, NEW.market_ticker, NEW.sequence_number, NEW.ts_recv) ON CONFLICT DO NOTHING;
    ELSIF NEW.event = 'ended' THEN
        UPDATE rl_orderbook_session_markets
        SET last_sequence = NEW.sequence_number, last_ts_recv = NEW.ts_recv, ended_ts = NEW.ts, reason = NEW.reason
        WHERE session_id = NEW.session_id AND market_ticker = NEW.market_ticker;
    END IF;
    IF NEW.event IN ('opened', 'ended', 'progress', 'closed') THEN
        UPDATE rl_orderbook_sessions SET
            messages_received = NEW.messages_received, snapshots_count = NEW.snapshots_count,
            deltas_count = NEW.deltas_count, last_message_at = greatest(last_message_at, heard)
        WHERE session_id = NEW.session_id;
    END IF;
    IF NEW.event = 'closed' THEN
        UPDATE rl_orderbook_sessions SET status = 'closed', ended_at = at, error_message = NEW.reason
        WHERE session_id = NEW.session_id;
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER IF EXISTS market_session_event ON rl_orderbook_session_events;
CREATE CONSTRAINT TRIGGER market_session_event AFTER INSERT ON rl_orderbook_session_events
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION market_session_event()
"""

VIEWS = """
CREATE OR REPLACE VIEW rl_orderbook_snapshots_cents AS
SELECT id, market_ticker, timestamp_ms, sequence_number,
    market_cents(yes_bids) AS yes_bids, market_cents(yes_asks) AS yes_asks,
    market_cents(no_bids) AS no_bids, market_cents(no_asks) AS no_asks,
    market_whole(yes_spread, 10000000) AS yes_spread, market_whole(no_spread, 10000000) AS no_spread,
    round(yes_mid_price / 10000000, 4) AS yes_mid_price, round(no_mid_price / 10000000, 4) AS no_mid_price,
    CASE WHEN total_volume % 1000000000 = 0 THEN (total_volume / 1000000000)::bigint END AS total_volume,
    created_at, session_id, sid, ts_recv
FROM rl_orderbook_snapshots;
COMMENT ON VIEW rl_orderbook_snapshots_cents IS
    'Prices in cents and sizes in contracts where they are whole, else NULL; mid prices in cents with decimals';

CREATE OR REPLACE VIEW rl_orderbook_deltas_cents AS
SELECT id, market_ticker, timestamp_ms, sequence_number, side, action,
    market_whole(price, 10000000) AS price, market_whole(old_size, 1000000000) AS old_size,
    market_whole(new_size, 1000000000) AS new_size, created_at, session_id, sid, ts_recv
FROM rl_orderbook_deltas;
COMMENT ON VIEW rl_orderbook_deltas_cents IS
    'Prices in cents and sizes in contracts where they are whole, else NULL';

CREATE OR REPLACE FUNCTION rl_orderbook_at(market text, session text, sequence bigint)
    RETURNS TABLE (side text, price bigint, size bigint) LANGUAGE sql STABLE AS $$
    WITH whole AS (
        SELECT * FROM rl_orderbook_snapshots AS stored
        WHERE stored.market_ticker = market AND stored.session_id = session AND stored.sequence_number <= sequence
        ORDER BY stored.sequence_number DESC LIMIT 1
    ), changed AS (
        SELECT CASE WHEN yes_no THEN 'yes' ELSE 'bid' END AS side, key::bigint AS price, value::bigint AS size,
            sequence_number, 0 AS id
        FROM whole, jsonb_each_text(yes_bids)
        UNION ALL
        SELECT CASE WHEN yes_no THEN 'no' ELSE 'ask' END, key::bigint, value::bigint, sequence_number, 0
        FROM whole, jsonb_each_text(CASE WHEN yes_no THEN no_bids ELSE yes_asks END)
        UNION ALL
        SELECT delta.side, delta.price, delta.new_size, delta.sequence_number, delta.id
        FROM rl_orderbook_deltas AS delta, whole
        WHERE delta.market_ticker = market AND delta.session_id = session
            AND delta.sequence_number > whole.sequence_number
            -- A node that was killed may have left a part of one more message.
            AND delta.sequence_number <= least(sequence, (
                SELECT held.last_sequence FROM rl_orderbook_session_markets AS held
                WHERE held.session_id = session AND held.market_ticker = market
            ))
    )
    SELECT book.side, book.price, book.size FROM (
        SELECT DISTINCT ON (changed.side, changed.price) changed.side, changed.price, changed.size FROM changed
        ORDER BY changed.side, changed.price, changed.sequence_number DESC, changed.id DESC
    ) AS book
    WHERE book.size > 0 ORDER BY book.side, book.price
$$;
COMMENT ON FUNCTION rl_orderbook_at IS
    'The book of a market after a message of a stored session: yes and no are bids of that leg, bid and ask as they are'
"""


def upgrade() -> None:
    """Create functions, tables, the trigger and the views; what is there already stays."""
    for text in (FUNCTIONS, TABLES, SESSIONS, VIEWS):
        op.execute(text)


def downgrade() -> None:
    """Drop them."""
    op.execute(
        """
        DROP FUNCTION rl_orderbook_at;
        DROP VIEW rl_orderbook_snapshots_cents, rl_orderbook_deltas_cents;
        DROP TABLE rl_orderbook_snapshots, rl_orderbook_deltas, rl_orderbook_sessions, rl_orderbook_session_markets,
            rl_orderbook_session_events, rl_orderbook_samples, orderbook_signals;
        DROP SEQUENCE market_rows;
        DROP FUNCTION market_session_event, market_levels, market_no_levels, market_volume, market_spread, market_mid,
            market_whole, market_cents, market_int8, market_make_partitions, market_partition
        """
    )
