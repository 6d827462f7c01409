"""Thresholds as they are, what became of them, and what their learners know.

The node appends to `threshold_states` and `threshold_lessons` only. A trigger keeps of them what is needed to go on
(the newest state of a user and symbol, the lessons since), and writes what people read: `adaptive_thresholds`, one row
for each user, symbol and parameter, and `adaptation_events`, one for each move and each block that was learned.

A symbol is never null (empty: of no symbol in particular), so the key is unique without exception. Values are double
precision: a volume of 10^10 and a MACD of 10^-6 are exact as the node has them.
"""

from alembic import op

revision = "thresholds_0001"
down_revision = None
branch_labels = ("thresholds",)
depends_on = None

TABLES = """
CREATE TABLE threshold_states (
    stream text NOT NULL,
    seq bigint NOT NULL,
    ts bigint NOT NULL,
    user_id text NOT NULL,
    symbol text NOT NULL,
    outcome_seq bigint NOT NULL,
    why text NOT NULL,
    state bytea NOT NULL,
    thresholds jsonb NOT NULL,
    records jsonb NOT NULL,
    PRIMARY KEY (stream, seq)
);
CREATE INDEX threshold_states_by_user ON threshold_states (user_id, symbol, seq DESC);
COMMENT ON TABLE threshold_states IS 'What the learners of a user and symbol know; only the newest is kept';

CREATE TABLE threshold_lessons (
    stream text NOT NULL,
    seq bigint NOT NULL,
    ts bigint NOT NULL,
    user_id text NOT NULL,
    symbol text NOT NULL,
    outcome_seq bigint NOT NULL,
    signal_id text NOT NULL,
    lesson bytea NOT NULL,
    PRIMARY KEY (stream, seq)
);
CREATE INDEX threshold_lessons_by_user ON threshold_lessons (user_id, symbol, seq);
COMMENT ON TABLE threshold_lessons IS 'Outcomes that were learned from since the newest state';

CREATE TABLE adaptive_thresholds (
    user_id text NOT NULL,
    symbol text NOT NULL,
    parameter_name text NOT NULL,
    current_value double precision NOT NULL,
    initial_value double precision NOT NULL,
    default_value double precision NOT NULL,
    candidate_value double precision NOT NULL,
    version bigint NOT NULL,
    adaptation_count bigint NOT NULL,
    last_adaptation bigint,
    decisions bigint NOT NULL,
    score_sd double precision NOT NULL,
    gate_open boolean NOT NULL,
    advantage double precision NOT NULL,
    advantage_variance double precision NOT NULL,
    seq bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    CONSTRAINT adaptive_thresholds_key UNIQUE (user_id, symbol, parameter_name)
);
CREATE INDEX adaptive_thresholds_by_symbol ON adaptive_thresholds (symbol, parameter_name);
COMMENT ON TABLE adaptive_thresholds IS 'Thresholds as they are served; times in nanoseconds since 1970, UTC';

CREATE TABLE adaptation_events (
    id text NOT NULL,
    seq bigint NOT NULL,
    ts bigint NOT NULL,
    user_id text NOT NULL,
    symbol text NOT NULL,
    parameter_name text NOT NULL,
    kind text NOT NULL,
    reason_code text NOT NULL,
    version bigint NOT NULL,
    old_value double precision NOT NULL,
    proposed_value double precision NOT NULL,
    new_value double precision NOT NULL,
    record jsonb NOT NULL,
    PRIMARY KEY (user_id, symbol, id)
);
CREATE INDEX adaptation_events_by_user ON adaptation_events (user_id, symbol, ts DESC);
CREATE INDEX adaptation_events_by_time ON adaptation_events (ts DESC);
COMMENT ON TABLE adaptation_events IS 'What moved, and why; record: all fields, from which it can be computed again';
"""

TRIGGER = """
CREATE FUNCTION thresholds_stored() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO adaptive_thresholds (
        user_id, symbol, parameter_name, current_value, initial_value, default_value, candidate_value, version,
        adaptation_count, last_adaptation, decisions, score_sd, gate_open, advantage, advantage_variance, seq,
        created_at, updated_at)
    SELECT n.user_id, n.symbol, t.parameter, t.value, t.initial, t."default", t.candidate, t.version,
        t.adaptation_count, t.last_adaptation, t.decisions, t.score_sd, t.gate_open, t.advantage,
        t.advantage_variance, n.seq, n.ts, n.ts
    FROM (SELECT DISTINCT ON (user_id, symbol) * FROM stored ORDER BY user_id, symbol, seq DESC) n
    CROSS JOIN LATERAL jsonb_to_recordset(n.thresholds) AS t(
        parameter text, value float8, initial float8, "default" float8, candidate float8, version bigint,
        adaptation_count bigint, last_adaptation bigint, decisions bigint, score_sd float8, gate_open boolean,
        advantage float8, advantage_variance float8)
    ON CONFLICT ON CONSTRAINT adaptive_thresholds_key DO UPDATE SET
        current_value = excluded.current_value, default_value = excluded.default_value,
        candidate_value = excluded.candidate_value, version = excluded.version,
        adaptation_count = excluded.adaptation_count, last_adaptation = excluded.last_adaptation,
        decisions = excluded.decisions, score_sd = excluded.score_sd, gate_open = excluded.gate_open,
        advantage = excluded.advantage, advantage_variance = excluded.advantage_variance, seq = excluded.seq,
        updated_at = excluded.updated_at
    WHERE adaptive_thresholds.seq <= excluded.seq;

    INSERT INTO adaptation_events (
        id, seq, ts, user_id, symbol, parameter_name, kind, reason_code, version, old_value, proposed_value,
        new_value, record)
    SELECT r->>'id', n.seq, (r->>'ts')::bigint, r->>'user', r->>'symbol', r->>'parameter', r->>'kind',
        r->>'reason_code', (r->>'version')::bigint, (r->>'old')::float8, (r->>'proposed')::float8,
        (r->>'applied')::float8, r
    FROM stored n CROSS JOIN LATERAL jsonb_array_elements(n.records) AS r;

    DELETE FROM threshold_states s USING stored n
    WHERE s.user_id = n.user_id AND s.symbol = n.symbol AND s.seq < n.seq;
    DELETE FROM threshold_lessons l USING stored n
    WHERE l.user_id = n.user_id AND l.symbol = n.symbol AND l.seq < n.seq;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION thresholds_stored IS 'Writes what people read of new states, and forgets what they have replaced';

CREATE TRIGGER thresholds_stored AFTER INSERT ON threshold_states
    REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION thresholds_stored();
"""


def upgrade() -> None:
    """Create the tables and the trigger."""
    op.execute(TABLES)
    op.execute(TRIGGER)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE threshold_states, threshold_lessons, adaptive_thresholds, adaptation_events")
    op.execute("DROP FUNCTION thresholds_stored")
