"""Backtest jobs, and trials of families of strategies. Columns are the fields of the rows in `protocols.backtests`."""

from alembic import op

revision = "research_0002"
down_revision = "research_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables. Times in nanoseconds since 1970, UTC."""
    op.execute(
        """
        CREATE TABLE backtest_jobs (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            job_id text NOT NULL,
            name text NOT NULL,
            strategy text NOT NULL,
            family text NOT NULL,
            methodology text NOT NULL,
            state text NOT NULL,
            priority integer NOT NULL,
            spec json NOT NULL,
            request json NOT NULL,
            summary json NOT NULL,
            reason text NOT NULL,
            field text NOT NULL,
            result_hash text NOT NULL,
            order_hash text NOT NULL,
            trials bigint NOT NULL,
            attempts integer NOT NULL,
            ts_created bigint NOT NULL,
            ts_started bigint NOT NULL,
            ts_ended bigint NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX backtest_jobs_by_id ON backtest_jobs (job_id, seq);
        COMMENT ON TABLE backtest_jobs IS 'What happened to backtests; the newest row of one is how it is';
        CREATE TABLE backtest_trials (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            family text NOT NULL,
            trial_id text NOT NULL,
            job_id text NOT NULL,
            sharpe double precision,
            trial json NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX backtest_trials_by_family ON backtest_trials (family, seq);
        COMMENT ON TABLE backtest_trials IS 'Every run of a family of strategies: the number of trials of its figures';
        """
    )


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE backtest_trials; DROP TABLE backtest_jobs")
