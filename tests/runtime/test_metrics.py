from __future__ import annotations

import pytest
import trio.testing
from prometheus_client.parser import text_string_to_metric_families

from protocols.control import Message, Request, Unknown
from runtime import Actor, ChildSpec, NodeSettings, StartChild, dynamic_supervisor, open_node, receive, supervisor
from runtime.breaker import BreakerSettings, BreakerSnapshot, CircuitBreaker
from runtime.figures import NodeFigures
from runtime.metrics import ActorFigures, ClassFigures, Distribution, Family, Metrics, Sample, WorkerFigures
from runtime.replicas import ReplicaFigures, ReplicasSnapshot
from runtime.router import Router, RouterSettings, RouterSnapshot, VariantSettings

Labels = dict[str, str]


def read(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples of a scrape, as Prometheus itself reads them."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return read(metrics).get((name, tuple(sorted(labels.items()))))


class Planted:
    """A source with figures of our own."""

    def classes(self) -> list[ClassFigures]:
        return [
            ClassFigures(cls="book", handled=70, errors=2, restarts=1, dropped=5, busy_ns=1_500_000_000, depth=9),
            ClassFigures(cls="feed", handled=1, errors=0, restarts=0, dropped=0, busy_ns=0, starts=3),
        ]

    def actors(self) -> list[ActorFigures]:
        return [
            ActorFigures(
                path='/a"\\\n',
                cls="book",
                up=True,
                handled=7,
                errors=1,
                restarts=2,
                depth=3,
                dropped=4,
                busy_ns=2_000_000_000,
            ),
            ActorFigures(path="/b", cls="feed", up=False, handled=0, errors=0, restarts=0, depth=0, dropped=0),
        ]

    def breakers(self) -> list[BreakerSnapshot]:
        breaker = CircuitBreaker("/venue", BreakerSettings(minimum_calls=2), 0)
        breaker.acquire(0).success(0)
        breaker.acquire(0).settle(0, Unknown())
        with pytest.raises(Exception, match="circuit_open"):
            breaker.acquire(0)
        return [breaker.snapshot(0)]

    def routers(self) -> list[tuple[str, RouterSnapshot]]:
        variants = tuple(VariantSettings(name=name, path=f"/{name}", weight=1) for name in ("a", "b"))
        router = Router(RouterSettings(salt="s", variants=variants, coverage=0.5))
        router.settle(router.route("k").variant, None)
        return [("/router", router.snapshot())]

    def replicas(self) -> list[tuple[str, ReplicasSnapshot]]:
        one = ReplicaFigures()
        one.routed, one.done, one.refused = 5, 3, 1
        found = ReplicasSnapshot(routing="sticky", key="", count=1, most=2, replicas=(one.snapshot("0", 4),))
        return [("/set", found)]

    def workers(self) -> list[WorkerFigures]:
        samples = (Sample("orders_total", {"side": "buy"}, 3.0),)
        return [
            WorkerFigures(
                worker="1-1", node="head", kind="ray", rss=1000, actors=2,
                families=(Family("orders", "Orders", "counter", samples),),
            )
        ]  # fmt: skip


def test_classes_and_static_paths_are_shown_with_all_their_figures() -> None:
    metrics = Metrics(Planted())
    shown = read(metrics)

    def at(name: str, **labels: str) -> float | None:
        return shown.get((name, tuple(sorted(labels.items()))))

    book = {"class": "book"}
    assert at("troupe_class_messages_total", **book) == 70
    assert at("troupe_class_errors_total", **book) == 2
    assert at("troupe_class_restarts_total", **book) == 1
    assert at("troupe_class_dropped_total", **book) == 5
    assert at("troupe_class_handler_seconds_total", **book) == 1.5
    assert at("troupe_class_mailbox_depth", **book) == 9
    assert at("troupe_class_mailbox_depth", **{"class": "feed"}) is None
    assert at("troupe_class_starts_total", **{"class": "feed"}) == 3
    first = {"path": '/a"\\\n', "class": "book"}
    assert at("troupe_actor_up", **first) == 1
    assert at("troupe_actor_messages_total", **first) == 7
    assert at("troupe_actor_errors_total", **first) == 1
    assert at("troupe_actor_restarts_total", **first) == 2
    assert at("troupe_actor_mailbox_depth", **first) == 3
    assert at("troupe_actor_dropped_total", **first) == 4
    assert at("troupe_actor_handler_seconds_total", **first) == 2.0
    assert at("troupe_actor_up", path="/b", **{"class": "feed"}) == 0


def test_breakers_routers_and_replicas_are_shown() -> None:
    shown = read(Metrics(Planted()))

    def at(name: str, **labels: str) -> float | None:
        return shown.get((name, tuple(sorted(labels.items()))))

    assert at("troupe_breaker_state", path="/venue", state="open") == 1
    assert at("troupe_breaker_state", path="/venue", state="closed") == 0
    assert [
        at("troupe_breaker_calls_total", path="/venue", outcome=each) for each in ("success", "failure", "refused")
    ] == [1, 1, 1]
    assert at("troupe_breaker_opened_total", path="/venue") == 1
    assert at("troupe_breaker_failure_rate", path="/venue") is None
    assert at("troupe_replicas", path="/set") == 1
    assert at("troupe_replica_load", path="/set", replica="0") == 4
    assert at("troupe_replica_messages_total", path="/set", replica="0") == 5
    assert [
        at("troupe_replica_outcomes_total", path="/set", replica="0", outcome=each)
        for each in ("done", "refused", "failed")
    ] == [3, 1, 0]
    assert at("troupe_router_coverage", path="/router") == 0.5
    assert at("troupe_router_share", path="/router", variant="a") == 0.75
    assert sum(at("troupe_router_messages_total", path="/router", variant=each) or 0 for each in "ab") == 1
    assert sum(at("troupe_router_outcomes_total", path="/router", variant=each, outcome="done") or 0 for each in "ab")


def test_the_loops_lag_and_the_collectors_pauses_are_histograms() -> None:
    metrics = Metrics()
    for lag in (0.0001, 0.003, 0.003, 9.0):
        metrics.loop_lag.observe(lag)
    metrics.pause(2, 0.02)
    assert value(metrics, "troupe_loop_lag_seconds_bucket", le="0.0005") == 1
    assert value(metrics, "troupe_loop_lag_seconds_bucket", le="0.005") == 3
    assert value(metrics, "troupe_loop_lag_seconds_bucket", le="5.0") == 3
    assert value(metrics, "troupe_loop_lag_seconds_bucket", le="+Inf") == 4
    assert value(metrics, "troupe_loop_lag_seconds_count") == 4
    assert value(metrics, "troupe_loop_lag_seconds_sum") == pytest.approx(9.0061)
    assert value(metrics, "troupe_gc_pause_seconds_count", generation="2") == 1
    assert value(metrics, "troupe_gc_pause_seconds_count", generation="0") == 0


def test_a_value_on_a_bound_belongs_to_the_bucket_below_it() -> None:
    distribution = Distribution((1.0, 2.0))
    for each in (1.0, 1.5, 2.0, 2.5):
        distribution.observe(each)
    assert distribution.buckets() == [("1.0", 1.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert distribution.most == 2.5


def test_who_holds_the_loop_is_named_and_the_names_are_bounded() -> None:
    metrics = Metrics()
    metrics.hold("/slow", 0.25)
    metrics.hold("/slow", 0.25)
    for number in range(1000):
        metrics.hold(f"/many/{number}", 1.0)
    assert value(metrics, "troupe_loop_held_seconds_total", path="/slow") == 0.5
    assert value(metrics, "troupe_loop_held_seconds_total", path="other") == 501.0


# Metrics of actors' own


def test_an_actor_that_registers_again_gets_the_metric_it_had() -> None:
    metrics = Metrics()
    metrics.counter("frames", "Frames", ("kind",)).labels("delta").inc(2)
    metrics.counter("frames", "Frames", ("kind",)).labels("delta").inc()
    metrics.counter("frames_of_all_total", "Frames").inc()
    metrics.gauge("spread", "Spread").set(3)
    metrics.histogram("latency_seconds", "Latency", buckets=(1.0, 2.0)).observe(1.5)
    assert value(metrics, "frames_total", kind="delta") == 3
    assert value(metrics, "frames_of_all_total") == 1
    assert value(metrics, "spread") == 3
    assert value(metrics, "latency_seconds_bucket", le="2.0") == 1
    assert value(metrics, "frames_created", kind="delta") is None


def test_one_name_is_one_metric() -> None:
    metrics = Metrics()
    metrics.counter("frames", "Frames", ("kind",))
    with pytest.raises(ValueError, match=r"frames is a counter with labels \['kind'\], not a gauge with labels \[\]"):
        metrics.gauge("frames", "Frames")
    with pytest.raises(ValueError, match="not a counter with labels"):
        metrics.counter("frames", "Frames", ("venue",))
    with pytest.raises(ValueError, match="troupe_loop_lag_seconds is the node's own"):
        metrics.histogram("troupe_loop_lag_seconds", "Mine")
    with pytest.raises(ValueError, match="not 'not a name'"):
        metrics.gauge("not a name", "Spaces")


def test_two_nodes_in_one_process_do_not_share_metrics() -> None:
    one, other = Metrics(), Metrics()
    one.counter("frames", "Frames").inc()
    other.counter("frames", "Frames")
    assert (value(one, "frames_total"), value(other, "frames_total")) == (1, 0)


async def test_a_scrape_reads_the_node_on_the_loop_and_writes_the_text_elsewhere() -> None:
    metrics = Metrics(Planted())
    before = read(metrics)
    text = (await metrics.scrape()).decode()
    names = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    assert names == {name for name, _ in before}
    assert "process_open_fds" in names


# A real node


class Ping(Request[int], frozen=True, gc=False, tag="ping"):
    pass


class Poke(Message, frozen=True, gc=False, tag="poke"):
    pass


class Pinged(Actor):
    @receive
    def ping(self, request: Ping) -> int:
        return 1

    @receive
    def poke(self, message: Poke) -> None:
        raise LookupError


async def test_a_node_is_shown_by_class_and_by_static_path_only(autojump_clock: trio.testing.MockClock) -> None:
    children = (
        supervisor(
            "fixed",
            ChildSpec(
                name="guarded",
                actor=Pinged,
                breaker=BreakerSettings(),
                router=RouterSettings(
                    salt="s", variants=(VariantSettings(name="only", path="/fixed/guarded"),), coverage=0.5
                ),
            ),
        ),
        dynamic_supervisor("many"),
    )
    async with open_node(NodeSettings(), children) as node:
        for number in range(50):
            await node.ref("/many").ask(StartChild(ChildSpec(name=f"c{number}", actor=Pinged)))
        await node.ref("/many/c1").ask(Ping())
        await node.ref("/fixed/guarded").ask(Ping())
        node.ref("/fixed/guarded").tell(Poke())
        await trio.testing.wait_all_tasks_blocked()
        await node.ref("/fixed/guarded").ask(Ping())
        shown = read(Metrics(NodeFigures(node)))
    cls = next(
        dict(labels)["class"] for _, labels in shown if ("path", "/fixed/guarded") in labels and len(labels) == 2
    )
    assert {dict(labels).get("path") for name, labels in shown if name == "troupe_actor_up"} == {
        "/",
        "/fixed",
        "/fixed/guarded",
        "/many",
    }
    assert shown["troupe_class_starts_total", (("class", cls),)] == 52
    assert shown["troupe_class_restarts_total", (("class", cls),)] == 1
    assert shown["troupe_class_messages_total", (("class", cls),)] >= 3
    key = (("class", cls), ("path", "/fixed/guarded"))
    assert shown["troupe_actor_up", key] == 1
    assert shown["troupe_actor_errors_total", key] == 1
    assert shown["troupe_breaker_calls_total", (("outcome", "success"), ("path", "/fixed/guarded"))] == 2
    assert (
        shown["troupe_router_outcomes_total", (("outcome", "done"), ("path", "/fixed/guarded"), ("variant", "only"))]
        == 2
    )
