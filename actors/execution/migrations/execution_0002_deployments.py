"""Accounts and deployments, what deployments made of signals, round trips, outcomes. Columns are the rows' fields."""

from alembic import op

revision = "execution_0002"
down_revision = "execution_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables. Times in nanoseconds since 1970, UTC; prices and sizes in nanos; sums of money in units."""
    op.execute(
        """
        CREATE TABLE execution_roster (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            kind text NOT NULL,
            id text NOT NULL,
            event text NOT NULL,
            reason text NOT NULL,
            settings json NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        COMMENT ON TABLE execution_roster IS 'Accounts and deployments; the newest row of one is its state';

        CREATE TABLE execution_verdicts (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            account text NOT NULL,
            deployment_id text NOT NULL,
            signal_id text NOT NULL,
            signal_seq bigint NOT NULL,
            orders text[] NOT NULL,
            code text NOT NULL,
            reason text NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX execution_verdicts_by_signal ON execution_verdicts (signal_id);
        CREATE INDEX execution_verdicts_by_deployment ON execution_verdicts (deployment_id, seq);
        COMMENT ON TABLE execution_verdicts IS 'What each deployment made of each signal: orders, or why none';

        CREATE TABLE execution_trades (
            stream text NOT NULL,
            seq bigint NOT NULL,
            account text NOT NULL,
            deployment_id text NOT NULL,
            signal_id text NOT NULL,
            market text NOT NULL,
            side text NOT NULL,
            size bigint NOT NULL,
            entry_ts bigint NOT NULL,
            entry_price bigint NOT NULL,
            exit_ts bigint NOT NULL,
            exit_price bigint NOT NULL,
            pnl numeric NOT NULL,
            fees numeric NOT NULL,
            funding numeric NOT NULL,
            currency text NOT NULL,
            return_share double precision,
            mae numeric,
            mfe numeric,
            exit_reason text NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX execution_trades_by_deployment ON execution_trades (deployment_id, seq);
        COMMENT ON TABLE execution_trades IS 'Round trips of accounts, from flat to flat';

        CREATE TABLE outcomes (
            stream text NOT NULL,
            seq bigint NOT NULL,
            outcome_id text NOT NULL,
            account text NOT NULL,
            deployment_id text NOT NULL,
            strategy_id text NOT NULL,
            signal_id text NOT NULL,
            decision_id text NOT NULL,
            client_order_id text NOT NULL,
            market text NOT NULL,
            side text NOT NULL,
            size bigint NOT NULL,
            entry_ts bigint NOT NULL,
            entry_price bigint NOT NULL,
            exit_ts bigint NOT NULL,
            exit_price bigint NOT NULL,
            pnl numeric NOT NULL,
            fees numeric NOT NULL,
            return_share double precision NOT NULL,
            currency text NOT NULL,
            exit_reason text NOT NULL,
            marks text[] NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX outcomes_by_signal ON outcomes (signal_id);
        COMMENT ON TABLE outcomes IS 'What signals led to, once a position is flat; each outcome_id counts once';
        """
    )


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE outcomes, execution_trades, execution_verdicts, execution_roster")
