from __future__ import annotations

from pathlib import Path

from actors.execution.account_rows import RowMaker
from actors.execution.more_rows import trade_stream
from protocols.execution import OUTCOMES
from runtime.log import open_log
from tests.actors.execution.kit import Desk


def closed_trade() -> Desk:
    desk = Desk()
    desk.quote(100, 101)
    desk.submit(desk.order("in", "buy", 1, deployment_id="d"))
    desk.submit(desk.order("out", "sell", 1, deployment_id="d", reduce_only=True))
    return desk


def test_an_outcome_whose_round_trip_a_kill_has_kept_from_the_log_is_not_written_again(tmp_path: Path) -> None:
    with open_log(tmp_path, segment_bytes=1 << 20, max_bytes=1 << 24, reserve_bytes=0) as log:
        first = RowMaker("a", log)
        assert first.next_outcome() == "a-1"
        first.told = "a-1"
        first.keep(closed_trade().engine)
        assert (log.last_seq(OUTCOMES), log.last_seq(trade_stream("a"))) == (0, 1)


def test_a_replay_writes_nothing_that_is_there(tmp_path: Path) -> None:
    with open_log(tmp_path, segment_bytes=1 << 20, max_bytes=1 << 24, reserve_bytes=0) as log:
        RowMaker("a", log).keep(closed_trade().engine)
        assert log.last_seq(OUTCOMES) == 1
        position = log.position
        RowMaker("a", log).keep(closed_trade().engine)
        assert log.position == position
