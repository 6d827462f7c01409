"""Trades, bars and the instrument master, partitioned as the books are."""

from alembic import op

revision = "market_0003"
down_revision = "market_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and the view of instruments; what is there already stays."""
    op.execute(
        """
        CREATE TABLE IF NOT EXISTS market_trades (
            id bigint NOT NULL DEFAULT nextval('market_rows'),
            created_at timestamptz NOT NULL DEFAULT now(),
            seq bigint NOT NULL,
            ts_event bigint NOT NULL,
            ts_recv bigint NOT NULL,
            price bigint NOT NULL,
            size bigint NOT NULL,
            block boolean NOT NULL,
            market text NOT NULL,
            feed text NOT NULL,
            session_id text NOT NULL,
            trade_id text NOT NULL,
            taker text CHECK (taker IN ('buy', 'sell')),
            marks text[] NOT NULL
        ) PARTITION BY RANGE (created_at);
        CREATE INDEX IF NOT EXISTS market_trades_by_time ON market_trades (market, ts_recv);
        SELECT market_partition('market_trades', interval '1 day');
        COMMENT ON TABLE market_trades IS
            'Public trades as they came; prices and sizes in nanos, times in ns since the Unix epoch, UTC';

        CREATE TABLE IF NOT EXISTS market_bars (
            id bigint NOT NULL DEFAULT nextval('market_rows'),
            created_at timestamptz NOT NULL DEFAULT now(),
            market text NOT NULL,
            feed text NOT NULL,
            bar_interval text NOT NULL,
            ts_start bigint NOT NULL,
            ts_end bigint NOT NULL,
            open bigint NOT NULL,
            high bigint NOT NULL,
            low bigint NOT NULL,
            close bigint NOT NULL,
            volume numeric,
            trades bigint,
            vwap bigint,
            source text NOT NULL,
            ts_recv bigint NOT NULL,
            empty boolean NOT NULL,
            late bigint NOT NULL,
            marks text[] NOT NULL
        ) PARTITION BY RANGE (created_at);
        CREATE INDEX IF NOT EXISTS market_bars_by_time ON market_bars (market, bar_interval, ts_start);
        SELECT market_partition('market_bars', interval '1 month');
        COMMENT ON TABLE market_bars IS
            'Bars [ts_start, ts_end), prices in nanos; of two with one start and source the higher id is the newer';

        CREATE TABLE IF NOT EXISTS instruments (
            id bigint NOT NULL DEFAULT nextval('market_rows'),
            created_at timestamptz NOT NULL DEFAULT now(),
            market text NOT NULL,
            feed text NOT NULL,
            symbol text NOT NULL,
            venue text NOT NULL,
            kind text NOT NULL,
            currency text NOT NULL,
            base text NOT NULL,
            multiplier bigint NOT NULL,
            price_ranges jsonb NOT NULL,
            lot bigint NOT NULL,
            minimum_size bigint NOT NULL,
            maximum_size bigint,
            minimum_notional bigint NOT NULL,
            maker_fee numeric,
            taker_fee numeric,
            order_types text[] NOT NULL,
            calendar text NOT NULL,
            status text NOT NULL,
            opens bigint,
            closes bigint,
            title text NOT NULL,
            data_only boolean NOT NULL,
            valid_from bigint NOT NULL,
            source text NOT NULL,
            marks text[] NOT NULL
        ) PARTITION BY RANGE (created_at);
        CREATE INDEX IF NOT EXISTS instruments_by_time ON instruments (market, valid_from);
        SELECT market_partition('instruments', interval '1 month');
        COMMENT ON TABLE instruments IS
            'Definitions of what can be traded, each true from valid_from on until the next of its market';

        CREATE OR REPLACE VIEW instrument_versions AS
        SELECT *, lead(valid_from) OVER (PARTITION BY market ORDER BY valid_from, id) AS valid_to FROM instruments;
        COMMENT ON VIEW instrument_versions IS 'instruments with the end of each version; NULL: it is true now'
        """
    )


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP VIEW instrument_versions; DROP TABLE market_trades, market_bars, instruments")
