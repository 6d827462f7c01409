"""What thresholds learn from: one table of what comes in, and trades and signals as views over all that is known.

A trade of the runtime stands in `outcomes`, a signal in `signals`; nothing is copied. The intake has what stands
nowhere else: trades that were told over HTTP, signals that were evaluated for others, and what declined ones came to.
"""

from alembic import op

revision = "thresholds_0002"
down_revision = "thresholds_0001"
branch_labels = None
depends_on = ("execution_0002", "signals_0002")


def upgrade() -> None:
    """Create tables and views. Returns are shares after costs, times in nanoseconds since 1970, UTC."""
    op.execute(
        """
        CREATE TABLE threshold_intake (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            kind text NOT NULL,
            source text NOT NULL,
            user_id text NOT NULL,
            symbol text NOT NULL,
            signal_id text NOT NULL,
            trade_id text NOT NULL,
            deployment_id text NOT NULL,
            session_id text NOT NULL,
            action text NOT NULL,
            confidence double precision,
            rsi double precision,
            macd double precision,
            change_percent double precision,
            volume double precision,
            verdict json NOT NULL,
            acted boolean NOT NULL,
            outcome double precision,
            why text NOT NULL,
            ts_signal bigint NOT NULL,
            ts_due bigint NOT NULL,
            ts_resolved bigint NOT NULL,
            bid double precision,
            ask double precision,
            entry_price double precision,
            exit_price double precision,
            quantity double precision,
            pnl double precision,
            fees double precision,
            outcome_seq bigint NOT NULL,
            signal_seq bigint NOT NULL,
            marks text[] NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        CREATE INDEX threshold_intake_by_signal ON threshold_intake (user_id, signal_id, seq);
        CREATE INDEX threshold_intake_by_trade ON threshold_intake (user_id, trade_id, seq) WHERE kind = 'trade';
        COMMENT ON TABLE threshold_intake IS 'What thresholds learn from, as far as it stands nowhere else';

        CREATE TABLE threshold_progress (
            stream text NOT NULL,
            seq bigint NOT NULL,
            ts bigint NOT NULL,
            told bigint NOT NULL,
            outcomes bigint NOT NULL,
            signals bigint NOT NULL,
            PRIMARY KEY (stream, seq)
        );
        COMMENT ON TABLE threshold_progress IS 'How far learners were told; the newest row counts';

        CREATE VIEW deployment_users AS
            SELECT DISTINCT ON (id) id AS deployment_id, settings->>'strategy_id' AS strategy_id,
                   coalesce(settings->>'user', 'local') AS user_id
            FROM execution_roster WHERE kind = 'deployment' ORDER BY id, seq DESC;
        COMMENT ON VIEW deployment_users IS 'Whose each deployment is';

        CREATE VIEW trades AS
            SELECT o.outcome_id AS id, u.user_id, o.deployment_id AS session_id, o.signal_id,
                   CASE o.side WHEN 'long' THEN o.client_order_id ELSE '' END AS buy_order_id,
                   CASE o.side WHEN 'short' THEN o.client_order_id ELSE '' END AS sell_order_id,
                   o.market AS symbol, o.entry_price::numeric / 1000000000 AS entry_price,
                   o.exit_price::numeric / 1000000000 AS exit_price, o.size::numeric / 1000000000 AS quantity,
                   o.pnl, (100 * o.return_share)::double precision AS pnl_percent, o.fees,
                   make_interval(secs => (o.exit_ts - o.entry_ts) / 1e9) AS hold_duration,
                   to_timestamp(o.entry_ts / 1e9) AS opened_at, to_timestamp(o.exit_ts / 1e9) AS closed_at,
                   o.return_share, o.exit_ts AS ts_closed, 'execution' AS source, o.marks
            FROM outcomes o JOIN deployment_users u USING (deployment_id)
            UNION ALL
            SELECT i.trade_id, i.user_id, i.session_id, i.signal_id, '', '',
                   i.symbol, i.entry_price::numeric, i.exit_price::numeric, i.quantity::numeric,
                   i.pnl::numeric, 100 * i.outcome, i.fees::numeric,
                   CASE WHEN i.ts_signal > 0 THEN make_interval(secs => (i.ts_resolved - i.ts_signal) / 1e9) END,
                   CASE WHEN i.ts_signal > 0 THEN to_timestamp(i.ts_signal / 1e9) END,
                   to_timestamp(i.ts_resolved / 1e9), i.outcome, i.ts_resolved, 'http', i.marks
            FROM (
                SELECT DISTINCT ON (user_id, trade_id) * FROM threshold_intake
                WHERE kind = 'trade' ORDER BY user_id, trade_id, seq
            ) i;
        COMMENT ON VIEW trades IS 'Closed trades of users: of the runtime itself, and those that were told';

        CREATE VIEW trading_signals AS
            SELECT s.signal_id AS id, u.user_id, v.deployment_id AS session_id, s.symbol,
                   CASE WHEN s.action IN ('BUY', 'SELL', 'HOLD') THEN s.action
                        WHEN s.action = 'CLOSE_SHORT' THEN 'BUY' ELSE 'SELL' END AS action,
                   s.confidence, v.reason, s.price_target::numeric / 1000000000 AS price_target,
                   s.stop_loss::numeric / 1000000000 AS stop_loss,
                   s.current_price::numeric / 1000000000 AS current_price, s.metadata AS indicators,
                   cardinality(v.orders) > 0 AS executed, to_timestamp(s.ts_created / 1e9) AS created_at,
                   'hub' AS source
            FROM signals s
            JOIN execution_verdicts v ON v.signal_id = s.signal_id
            JOIN deployment_users u ON u.deployment_id = v.deployment_id
            UNION ALL
            SELECT w.signal_id, w.user_id, w.session_id, w.symbol, w.action, w.confidence, '', NULL, NULL, NULL,
                   json_strip_nulls(json_build_object('rsi', w.rsi, 'macd', w.macd,
                                                      'change_percent', w.change_percent, 'volume', w.volume)),
                   EXISTS (SELECT FROM threshold_intake t
                           WHERE t.user_id = w.user_id AND t.signal_id = w.signal_id AND t.kind = 'trade'),
                   to_timestamp(w.ts_signal / 1e9), 'evaluation'
            FROM threshold_intake w WHERE w.kind = 'watched' AND w.source = 'evaluation';
        COMMENT ON VIEW trading_signals IS 'Signals of users and whether they were traded';
        """
    )


def downgrade() -> None:
    """Drop them."""
    op.execute(
        """
        DROP VIEW trading_signals, trades, deployment_users;
        DROP TABLE threshold_progress, threshold_intake
        """
    )
