"""A/B tests: plans, assignments, exposures, outcomes of decisions, shadows, rollouts. Columns are the rows' fields."""

from alembic import op

revision = "decisions_0002"
down_revision = "decisions_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables. Times in nanoseconds since 1970, UTC; outcomes are shares (0.01 is 1 %)."""
    op.execute(
        """
        CREATE TABLE ab_test_configs (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            test_name text NOT NULL,
            version bigint NOT NULL,
            enabled boolean NOT NULL,
            rl_traffic_percentage double precision NOT NULL,
            plan json NOT NULL,
            configured json NOT NULL,
            why text NOT NULL,
            staged boolean NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX ab_test_configs_by_name ON ab_test_configs (test_name, seq);
        COMMENT ON TABLE ab_test_configs IS 'Plans of A/B tests; the newest row of a test is its plan';

        CREATE TABLE ab_test_assignments (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            test_name text NOT NULL,
            version bigint NOT NULL,
            user_id text NOT NULL,
            assignment text NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX ab_test_assignments_by_user ON ab_test_assignments (user_id, test_name);
        CREATE INDEX ab_test_assignments_by_test ON ab_test_assignments (test_name, version, seq);
        COMMENT ON TABLE ab_test_assignments IS 'Who was assigned to which arm, by phase';

        CREATE TABLE ab_exposures (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            experiment text NOT NULL,
            version bigint NOT NULL,
            unit text NOT NULL,
            arm text NOT NULL,
            decision_id text NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX ab_exposures_by_test ON ab_exposures (experiment, version, seq);
        COMMENT ON TABLE ab_exposures IS 'When an arm could first change what a unit got; analysis begins there';

        CREATE TABLE decision_outcomes (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            decision_id text NOT NULL,
            user_id text NOT NULL,
            experiment text NOT NULL,
            version bigint NOT NULL,
            arm text NOT NULL,
            served_by text NOT NULL,
            source text NOT NULL,
            outcome double precision NOT NULL,
            success boolean NOT NULL,
            note text NOT NULL,
            unit text NOT NULL,
            counted boolean NOT NULL,
            ts_decision bigint NOT NULL,
            outcome_seq bigint NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX decision_outcomes_by_decision ON decision_outcomes (decision_id);
        CREATE INDEX decision_outcomes_by_test ON decision_outcomes (experiment, version, seq);
        COMMENT ON TABLE decision_outcomes IS 'What came of decisions: feedback from outside, and executed trades';

        CREATE TABLE ab_shadow_pairs (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            experiment text NOT NULL,
            version bigint NOT NULL,
            arm text NOT NULL,
            decision_id text NOT NULL,
            user_id text NOT NULL,
            live_action text NOT NULL,
            live_trades boolean NOT NULL,
            shadow_action text NOT NULL,
            shadow_trades boolean NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX ab_shadow_pairs_by_test ON ab_shadow_pairs (experiment, version, seq);
        COMMENT ON TABLE ab_shadow_pairs IS 'What shadows would have said to requests that an arm answered';

        CREATE TABLE ab_rollouts (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            test_name text NOT NULL,
            version bigint NOT NULL,
            state text NOT NULL,
            step bigint NOT NULL,
            coverage double precision NOT NULL,
            why text NOT NULL,
            view json NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        COMMENT ON TABLE ab_rollouts IS 'States of staged rollouts; the newest row of a test is its rollout';

        CREATE INDEX prediction_history_by_test ON prediction_history (experiment, version, seq);
        """
    )


def downgrade() -> None:
    """Drop the tables."""
    op.execute(
        """
        DROP INDEX prediction_history_by_test;
        DROP TABLE ab_rollouts, ab_shadow_pairs, decision_outcomes, ab_exposures, ab_test_assignments, ab_test_configs
        """
    )
