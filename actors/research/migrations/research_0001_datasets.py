"""Data sets: every change of one. Columns are the fields of `DatasetRow`."""

from alembic import op

revision = "research_0001"
down_revision = None
branch_labels = ("research",)
depends_on = None


def upgrade() -> None:
    """Create the table. Times in nanoseconds since 1970, UTC; 0: there is none."""
    op.execute(
        """
        CREATE TABLE datasets (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            ts_created bigint NOT NULL,
            dataset_id text NOT NULL,
            change text NOT NULL,
            status text NOT NULL,
            name text NOT NULL,
            description text NOT NULL,
            tags text[] NOT NULL,
            category text NOT NULL,
            asset_class text NOT NULL,
            is_public boolean NOT NULL,
            user_id text NOT NULL,
            source text NOT NULL,
            file_name text NOT NULL,
            file_bytes bigint NOT NULL,
            data_format text NOT NULL,
            kind text NOT NULL,
            frequency text NOT NULL,
            symbols text[] NOT NULL,
            symbol_count bigint NOT NULL,
            marks text[] NOT NULL,
            calendar text NOT NULL,
            options json NOT NULL,
            reference text NOT NULL,
            columns text[] NOT NULL,
            row_count bigint NOT NULL,
            stored_bytes bigint NOT NULL,
            ts_first bigint NOT NULL,
            ts_last bigint NOT NULL,
            content_hash text NOT NULL,
            ts_validated bigint NOT NULL,
            errors bigint NOT NULL,
            warnings bigint NOT NULL,
            completeness_score double precision NOT NULL,
            quality_score double precision NOT NULL,
            problem text NOT NULL,
            problem_field text NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX datasets_by_id ON datasets (dataset_id, seq DESC);
        CREATE INDEX datasets_by_content ON datasets (content_hash) WHERE content_hash <> '';
        COMMENT ON TABLE datasets IS 'Every change of a data set; the newest row of one is how it is';
        """
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE datasets")
