"""Versions of the strategies that are written over HTTP. Columns are the fields of `StrategyVersionRow`."""

from alembic import op

revision = "strategies_0001"
down_revision = None
branch_labels = ("strategies",)
depends_on = None


def upgrade() -> None:
    """Create the table. Times in nanoseconds since 1970, UTC."""
    op.execute(
        """
        CREATE TABLE strategy_versions (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            ts_created bigint NOT NULL,
            strategy_id text NOT NULL,
            version bigint NOT NULL,
            change text NOT NULL,
            restored_from bigint NOT NULL,
            state text NOT NULL,
            name text NOT NULL,
            description text NOT NULL,
            code text NOT NULL,
            main_file text NOT NULL,
            parameters json NOT NULL,
            tags text[] NOT NULL,
            symbols text[] NOT NULL,
            timeframes text[] NOT NULL,
            author text NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX strategy_versions_by_strategy ON strategy_versions (stream, strategy_id, version DESC);
        COMMENT ON TABLE strategy_versions IS 'All versions of all strategies; the newest one is the strategy';
        """
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE strategy_versions")
