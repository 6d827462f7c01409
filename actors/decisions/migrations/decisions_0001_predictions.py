"""Decisions, what served them, and figures of models. Columns are the rows' fields."""

from alembic import op

revision = "decisions_0001"
down_revision = None
branch_labels = ("decisions",)
depends_on = None


def upgrade() -> None:
    """Create the tables. Times in nanoseconds since 1970, UTC."""
    op.execute(
        """
        CREATE TABLE prediction_history (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            decision_id text NOT NULL,
            user_id text NOT NULL,
            symbol text NOT NULL,
            action text NOT NULL,
            should_trade boolean NOT NULL,
            confidence double precision NOT NULL,
            confidence_kind text NOT NULL,
            served_by text NOT NULL,
            reason text NOT NULL,
            experiment text NOT NULL,
            version bigint NOT NULL,
            arm text NOT NULL,
            model text NOT NULL,
            model_version text NOT NULL,
            priority bigint NOT NULL,
            fallback_used boolean NOT NULL,
            cached boolean NOT NULL,
            processing_ns bigint NOT NULL,
            signal_id text NOT NULL,
            agent_id text NOT NULL,
            missing text[] NOT NULL,
            marks text[] NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX prediction_history_by_decision ON prediction_history (decision_id);
        CREATE INDEX prediction_history_by_user ON prediction_history (user_id, ts);
        COMMENT ON TABLE prediction_history IS 'Every decision: what was said, by whom, and for which arm it counts';

        CREATE TABLE model_versions (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            name text NOT NULL,
            model_version text NOT NULL,
            kind text NOT NULL,
            path text NOT NULL,
            change text NOT NULL,
            error text NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        COMMENT ON TABLE model_versions IS 'What served each name, and since when';

        CREATE TABLE model_performance (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            model text NOT NULL,
            model_version text NOT NULL,
            metric text NOT NULL,
            value double precision NOT NULL,
            count bigint NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        COMMENT ON TABLE model_performance IS 'Figures of models from outcomes';
        """
    )


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE model_performance, model_versions, prediction_history")
