"""Agents, their configuration and their figures. Columns are the fields of `AgentRow`."""

from alembic import op

revision = "agents_0001"
down_revision = None
branch_labels = ("agents",)
depends_on = None


def upgrade() -> None:
    """Create the table. Times in nanoseconds since 1970, UTC."""
    op.execute(
        """
        CREATE TABLE agent_configs (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            user_id text NOT NULL,
            event text NOT NULL,
            state text NOT NULL,
            reason text NOT NULL,
            prediction_count bigint NOT NULL,
            error_count bigint NOT NULL,
            created_at bigint NOT NULL,
            config json NOT NULL,
            restarts bigint NOT NULL,
            signals bigint NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX agent_configs_by_user ON agent_configs (stream, user_id, seq DESC);
        COMMENT ON TABLE agent_configs IS 'What became of agents; the newest row of a user says how its agent is';
        """
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE agent_configs")
