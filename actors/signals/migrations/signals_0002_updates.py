"""Updates carry the symbol and the strategy of their signal; what analytics and expiry look for has an index."""

from alembic import op

revision = "signals_0002"
down_revision = "signals_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, fill them for the updates that are there, and add the indexes."""
    op.execute(
        """
        ALTER TABLE signal_updates
            ADD COLUMN symbol text NOT NULL DEFAULT '',
            ADD COLUMN strategy_id text NOT NULL DEFAULT '';
        UPDATE signal_updates u SET symbol = s.symbol, strategy_id = s.strategy_id
            FROM signals s WHERE s.signal_id = u.signal_id;
        CREATE INDEX signals_by_creation ON signals (ts_created);
        CREATE INDEX signals_by_expiry ON signals (ts_expires);
        """
    )


def downgrade() -> None:
    """Take them away again."""
    op.execute(
        """
        DROP INDEX signals_by_expiry;
        DROP INDEX signals_by_creation;
        ALTER TABLE signal_updates DROP COLUMN strategy_id, DROP COLUMN symbol;
        """
    )
