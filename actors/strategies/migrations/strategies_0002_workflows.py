"""Drawn workflows: all their versions, and what became of them. Columns are the fields of `WorkflowVersionRow`."""

from alembic import op

revision = "strategies_0002"
down_revision = "strategies_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table. Times in nanoseconds since 1970, UTC."""
    op.execute(
        """
        CREATE TABLE workflow_versions (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            ts_created bigint NOT NULL,
            ts_changed bigint NOT NULL,
            ts_compiled bigint NOT NULL,
            ts_executed bigint NOT NULL,
            workflow_id text NOT NULL,
            version bigint NOT NULL,
            change text NOT NULL,
            restored_from bigint NOT NULL,
            name text NOT NULL,
            description text NOT NULL,
            tags text[] NOT NULL,
            workflow json NOT NULL,
            compilation_status text NOT NULL,
            validation_status text NOT NULL,
            deployment_status text NOT NULL,
            execution_mode text NOT NULL,
            execution_config json NOT NULL,
            problems json NOT NULL,
            code_version bigint NOT NULL,
            generated_code text NOT NULL,
            generated_requirements text[] NOT NULL,
            symbols text[] NOT NULL,
            timeframes text[] NOT NULL,
            lookback bigint NOT NULL,
            compilations bigint NOT NULL,
            successful_compilations bigint NOT NULL,
            executions bigint NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX workflow_versions_by_workflow ON workflow_versions (stream, workflow_id, seq DESC);
        COMMENT ON TABLE workflow_versions IS 'Every change of a workflow; the newest row of one is how it is';
        """
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE workflow_versions")
