"""Stored signals and what became of them. Columns are the fields of the rows in `protocols/signals.py`."""

from alembic import op

revision = "signals_0001"
down_revision = None
branch_labels = ("signals",)
depends_on = None


def upgrade() -> None:
    """Create the two tables. Prices, sizes and money are in nanos, times in nanoseconds since 1970, UTC."""
    op.execute(
        """
        CREATE TABLE signals (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts_stored bigint NOT NULL,
            signal_id text NOT NULL,
            ts_created bigint NOT NULL,
            strategy_id text NOT NULL,
            strategy_source text NOT NULL,
            strategy_version text,
            deployment_id text,
            decision_id text,
            symbol text NOT NULL,
            exchange text NOT NULL,
            action text NOT NULL,
            confidence double precision NOT NULL,
            quantity bigint,
            price_target bigint,
            stop_loss bigint,
            take_profit bigint,
            order_type text NOT NULL,
            time_in_force text NOT NULL,
            max_slippage bigint NOT NULL,
            risk_score double precision NOT NULL,
            position_size bigint,
            max_drawdown double precision,
            current_price bigint,
            has_conditions boolean NOT NULL,
            trend text,
            volatility double precision,
            volume_profile text,
            support_level bigint,
            resistance_level bigint,
            metadata json NOT NULL,
            ts_expires bigint,
            marks text[] NOT NULL,
            source_session text NOT NULL,
            source_seq bigint NOT NULL,
            ts_event bigint NOT NULL,
            ts_recv bigint NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX signals_by_id ON signals (signal_id);
        CREATE INDEX signals_by_symbol ON signals (symbol, seq);
        CREATE INDEX signals_by_strategy ON signals (strategy_id, seq);
        COMMENT ON TABLE signals IS 'Accepted signals; seq is the place that subscribers see';

        CREATE TABLE signal_updates (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts_stored bigint NOT NULL,
            signal_id text NOT NULL,
            status text NOT NULL,
            deployment_id text,
            decision_id text,
            client_order_id text,
            executed_quantity bigint,
            execution_price bigint,
            ts_executed bigint,
            pnl bigint,
            currency text,
            pnl_percentage double precision,
            slippage double precision,
            fill_rate double precision,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX signal_updates_by_id ON signal_updates (signal_id, seq);
        COMMENT ON TABLE signal_updates IS 'What became of signals; the newest row of a signal is its state';
        """
    )


def downgrade() -> None:
    """Drop both."""
    op.execute("DROP TABLE signal_updates; DROP TABLE signals")
