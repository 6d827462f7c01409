"""What happened to the feeds: connections, gaps, recoveries."""

from alembic import op

revision = "market_0001"
down_revision = None
branch_labels = ("market",)
depends_on = None


def upgrade() -> None:
    """Create the table and the index by which it is read."""
    op.execute(
        """
        CREATE TABLE feed_events (
            feed text NOT NULL,
            kind text NOT NULL,
            session text NOT NULL,
            detail text NOT NULL,
            ts bigint NOT NULL
        );
        CREATE INDEX feed_events_by_time ON feed_events (feed, ts);
        COMMENT ON TABLE feed_events IS
            'Connections, gaps and recoveries of market feeds; ts in nanoseconds since the Unix epoch, UTC';
        """
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE feed_events")
