"""Where the writer stands in each node's log, the rows that the database refused, and the actors' journals."""

from alembic import op

revision = "storage_0001"
down_revision = None
branch_labels = ("storage",)
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        CREATE TABLE write_position (
            log_id uuid PRIMARY KEY,
            position bigint NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE write_position IS
            'Up to where each node''s log is in this database; changes in the transaction of the rows';

        CREATE TABLE rejected_rows (
            log_id uuid NOT NULL,
            position bigint NOT NULL,
            table_name text NOT NULL,
            error_code text NOT NULL,
            error text NOT NULL,
            row json NOT NULL,
            fields bytea NOT NULL,
            rejected_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (log_id, position)
        );
        COMMENT ON TABLE rejected_rows IS
            'Rows that their table refused: readable in row, exact (msgpack) in fields';

        CREATE TABLE journal (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            kind text NOT NULL,
            sender text NOT NULL,
            payload bytea NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        COMMENT ON TABLE journal IS
            'Each message of an actor that keeps a journal, before it was handled; ts is ns since 1970, UTC';
        """
    )


def downgrade() -> None:
    """Drop them: the node's logs would be written into this database again from their start."""
    op.execute("DROP TABLE journal; DROP TABLE rejected_rows; DROP TABLE write_position")
