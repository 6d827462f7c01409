"""What thresholds said of each decision's proposal, whoever decided: the verdict of both arms can be compared."""

from alembic import op

revision = "decisions_0003"
down_revision = "decisions_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; of decisions of before it is not known."""
    op.execute(
        """
        ALTER TABLE prediction_history
            ADD COLUMN threshold_verdict boolean,
            ADD COLUMN threshold_reasoning text NOT NULL DEFAULT '';
        COMMENT ON COLUMN prediction_history.threshold_verdict IS
            'Whether thresholds would trade it; null: they were not asked, or did not say';
        """
    )


def downgrade() -> None:
    """Drop them."""
    op.execute("ALTER TABLE prediction_history DROP COLUMN threshold_verdict, DROP COLUMN threshold_reasoning")
