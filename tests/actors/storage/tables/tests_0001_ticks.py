"""Tables for the tests: `id` is the order in which rows came, `n` the order in which they were accepted."""

from alembic import op

revision = "tests_0001"
down_revision = None
branch_labels = ("tests",)
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE ticks (
            id bigint GENERATED ALWAYS AS IDENTITY,
            n bigint PRIMARY KEY,
            market text NOT NULL,
            price integer,
            ratio double precision,
            raw bytea
        );
        CREATE TABLE documents (
            n bigint, body jsonb, parts json, tags text[], amount numeric, at timestamptz
        );
        CREATE TABLE late (n bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE late; DROP TABLE documents; DROP TABLE ticks")
