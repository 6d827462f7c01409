"""Alerts as they were fired and resolved. Columns are the fields of `AlertRow`."""

from alembic import op

revision = "monitor_0001"
down_revision = None
branch_labels = ("monitor",)
depends_on = None


def upgrade() -> None:
    """Create the table. Times in nanoseconds since 1970, UTC."""
    op.execute(
        """
        CREATE TABLE alerts (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            alert_id text NOT NULL,
            key text NOT NULL,
            title text NOT NULL,
            description text NOT NULL,
            severity text NOT NULL,
            source text NOT NULL,
            rule text NOT NULL,
            value double precision,
            labels text[] NOT NULL,
            ts_fired bigint NOT NULL,
            resolved boolean NOT NULL,
            resolved_by text NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX alerts_by_id ON alerts (alert_id, seq);
        COMMENT ON TABLE alerts IS 'Changes of alerts; the newest row of an alert is its state';

        CREATE VIEW active_alerts_summary AS
            SELECT severity, count(*) AS count, min(ts_fired) AS oldest_ts, max(ts_fired) AS newest_ts
            FROM (SELECT DISTINCT ON (alert_id) * FROM alerts ORDER BY alert_id, seq DESC) newest
            WHERE NOT resolved
            GROUP BY severity;
        """
    )


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP VIEW active_alerts_summary; DROP TABLE alerts")
