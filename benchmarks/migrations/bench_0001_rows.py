"""Where the benchmark's rows go: a bare table, and one with a primary key."""

from alembic import op

revision = "bench_0001"
down_revision = None
branch_labels = ("bench",)
depends_on = None

COLUMNS = """
    market text NOT NULL,
    seq bigint NOT NULL,
    ts_event bigint NOT NULL,
    ts_recv bigint NOT NULL,
    bid bigint NOT NULL,
    bid_size bigint NOT NULL,
    ask bigint NOT NULL,
    ask_size bigint NOT NULL
"""


def upgrade() -> None:
    """Create both."""
    op.execute(f"CREATE TABLE bench_bare ({COLUMNS}); CREATE TABLE bench_keyed ({COLUMNS}, PRIMARY KEY (seq))")


def downgrade() -> None:
    """Drop both."""
    op.execute("DROP TABLE bench_bare; DROP TABLE bench_keyed")
