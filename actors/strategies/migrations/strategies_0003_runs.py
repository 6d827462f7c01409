"""Which strategies run, with what, and why one ended. Columns are the fields of `StrategyRunRow`."""

from alembic import op

revision = "strategies_0003"
down_revision = "strategies_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table. Times in nanoseconds since 1970, UTC."""
    op.execute(
        """
        CREATE TABLE strategy_runs (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            strategy_id text NOT NULL,
            event text NOT NULL,
            source text NOT NULL,
            version text NOT NULL,
            execution_id text NOT NULL,
            reason text NOT NULL,
            entry json NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX strategy_runs_by_id ON strategy_runs (strategy_id, seq);
        COMMENT ON TABLE strategy_runs IS 'What happened to strategies that run; the newest row of one is its state';
        """
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE strategy_runs")
