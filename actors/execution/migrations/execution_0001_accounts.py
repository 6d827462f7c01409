"""Orders, fills, the ledger and equity of accounts, and the input journal that all of it can be made again from.

Columns are the fields of the rows in `accounts/rows.py`.
"""

from alembic import op

revision = "execution_0001"
down_revision = None
branch_labels = ("execution",)
depends_on = None


def upgrade() -> None:
    """Create the tables. Prices, sizes and fees in nanos, money in units, times in nanoseconds since 1970, UTC."""
    op.execute(
        """
        CREATE TABLE execution_journal (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            count bigint NOT NULL,
            payload bytea NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        COMMENT ON TABLE execution_journal IS 'What accounts were given, numbered: all that came of it follows from it';

        CREATE TABLE execution_snapshots (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            journal_seq bigint NOT NULL,
            payload bytea NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        COMMENT ON TABLE execution_snapshots IS 'States of accounts behind a row of their journal';

        CREATE TABLE execution_orders_log (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            account text NOT NULL,
            kind text NOT NULL,
            client_order_id text NOT NULL,
            venue_order_id text NOT NULL,
            deployment_id text NOT NULL,
            signal_id text NOT NULL,
            decision_id text NOT NULL,
            market text NOT NULL,
            side text NOT NULL,
            order_kind text NOT NULL,
            time_in_force text NOT NULL,
            source text NOT NULL,
            state text NOT NULL,
            size bigint NOT NULL,
            price bigint,
            stop_price bigint,
            filled bigint NOT NULL,
            average_price bigint,
            fees bigint NOT NULL,
            fee_currency text NOT NULL,
            fill_id text NOT NULL,
            reason_code text NOT NULL,
            reason text NOT NULL,
            ts_created bigint NOT NULL,
            version bigint NOT NULL,
            marks text[] NOT NULL,
            detail json NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX execution_orders_by_id ON execution_orders_log (client_order_id, seq);
        CREATE INDEX execution_orders_by_account ON execution_orders_log (account, ts);
        CREATE INDEX execution_orders_by_market ON execution_orders_log (market, ts);
        CREATE INDEX execution_orders_by_deployment ON execution_orders_log (deployment_id, ts);
        COMMENT ON TABLE execution_orders_log IS 'What happened to orders; the newest row of an order is its state';

        CREATE TABLE execution_fills (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            ts_event bigint NOT NULL,
            account text NOT NULL,
            fill_id text NOT NULL,
            client_order_id text NOT NULL,
            deployment_id text NOT NULL,
            signal_id text NOT NULL,
            decision_id text NOT NULL,
            market text NOT NULL,
            side text NOT NULL,
            leg text NOT NULL,
            price bigint NOT NULL,
            size bigint NOT NULL,
            notional numeric NOT NULL,
            currency text NOT NULL,
            fee bigint NOT NULL,
            fee_currency text NOT NULL,
            liquidity text NOT NULL,
            realized numeric NOT NULL,
            position bigint NOT NULL,
            why json NOT NULL,
            marks text[] NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX execution_fills_by_order ON execution_fills (client_order_id, seq);
        CREATE INDEX execution_fills_by_account ON execution_fills (account, ts);
        CREATE INDEX execution_fills_by_market ON execution_fills (market, ts);
        CREATE INDEX execution_fills_by_deployment ON execution_fills (deployment_id, ts);
        COMMENT ON TABLE execution_fills IS 'Fills, and why each happened';

        CREATE TABLE execution_ledger (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            account text NOT NULL,
            entry bigint NOT NULL,
            kind text NOT NULL,
            reference text NOT NULL,
            ledger_account text NOT NULL,
            currency text NOT NULL,
            amount numeric NOT NULL,
            market text NOT NULL,
            deployment_id text NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX execution_ledger_by_account ON execution_ledger (account, ts);
        CREATE INDEX execution_ledger_by_market ON execution_ledger (market, ts);
        CREATE INDEX execution_ledger_by_deployment ON execution_ledger (deployment_id, ts);
        COMMENT ON TABLE execution_ledger IS 'Postings; those of an entry add up to 0 in each currency';

        CREATE TABLE execution_equity (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            account text NOT NULL,
            equity numeric NOT NULL,
            cash numeric NOT NULL,
            unrealized numeric NOT NULL,
            peak numeric NOT NULL,
            day_start numeric NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX execution_equity_by_account ON execution_equity (account, ts);
        COMMENT ON TABLE execution_equity IS 'Equity of accounts over time, in units of their currency';
        """
    )


def downgrade() -> None:
    """Drop them."""
    op.execute(
        """
        DROP TABLE execution_equity;
        DROP TABLE execution_ledger;
        DROP TABLE execution_fills;
        DROP TABLE execution_orders_log;
        DROP TABLE execution_snapshots;
        DROP TABLE execution_journal;
        """
    )
