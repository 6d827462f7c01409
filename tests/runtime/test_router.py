from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.control import Message, Refused, Unknown
from runtime.router import Router, RouterSettings, VariantSettings
from tests.runtime.kit import said_under_other_hash_seeds

KEYS = [f"KXBTC-{number}" for number in range(20_000)]


def variant(name: str, weight: float = 1.0, *, shadow: bool = False) -> VariantSettings:
    return VariantSettings(name=name, path=f"/decisions/{name}", weight=weight, shadow=shadow)


def router(*variants: VariantSettings, salt: str = "momentum-1", coverage: float = 1.0, default: str = "") -> Router:
    chosen = variants or (variant("control", 3), variant("candidate", 1))
    return Router(RouterSettings(salt=salt, variants=chosen, coverage=coverage, default=default))


splits = st.lists(st.integers(0, 20), min_size=1, max_size=5).filter(any)


# The hash


def test_the_point_of_a_key_never_changes() -> None:
    # Known answers: whoever changes the hash moves every key of every running experiment.
    first, second = router(salt="momentum-1"), router(salt="momentum-2")
    assert [first.point(key) for key in ("BTC-USD", "ETH-USD", "", "Zürich")] == [
        0xA3D425BCD331EDDE,
        0x51266245574E1617,
        0x428EF3F542C9641D,
        0x723D987AD85F300C,
    ]
    assert second.point("BTC-USD") == 0x7F73621473167DFA


def test_the_point_is_blake2b_keyed_with_the_hash_of_the_salt() -> None:
    salt = hashlib.blake2b(b"momentum-1", digest_size=32).digest()
    drawn = hashlib.blake2b(b"BTC-USD", digest_size=8, key=salt, person=b"troupe.router").digest()
    assert router().point("BTC-USD") == int.from_bytes(drawn, "big")


def test_another_process_with_another_hash_seed_routes_the_same() -> None:
    program = (
        "from runtime.router import *\n"
        "v = (('a', 0.2), ('b', 0.7), ('c', 0.1))\n"
        "v = tuple(VariantSettings(name=n, path='/' + n, weight=w) for n, w in v)\n"
        "r = Router(RouterSettings(salt='x', variants=v, coverage=0.6))\n"
        "print(','.join(f'{t.variant}{t.enrolled:d}' for t in (r.assign(f'k{i}') for i in range(300))))\n"
    )
    outputs = said_under_other_hash_seeds(program)
    here = Router(
        RouterSettings(
            salt="x",
            variants=tuple(
                VariantSettings(name=n, path="/" + n, weight=w) for n, w in (("a", 0.2), ("b", 0.7), ("c", 0.1))
            ),
            coverage=0.6,
        )
    )
    routes = [here.assign(f"k{number}") for number in range(300)]
    assert outputs == {",".join(f"{each.variant}{each.enrolled:d}" for each in routes) + "\n"}


def test_two_salts_draw_independently() -> None:
    first, second = router(variant("a"), variant("b"), salt="x"), router(variant("a"), variant("b"), salt="y")
    both = sum(first.assign(key).variant == second.assign(key).variant for key in KEYS)
    assert both == pytest.approx(len(KEYS) / 2, rel=0.03)


def test_salt_and_key_are_never_mistaken_for_each_other() -> None:
    assert router(salt="ab").point("c") != router(salt="a").point("bc")


# The split


@pytest.mark.parametrize("weights", [(1, 1), (9, 1), (5, 3, 2), (0.1, 0.2, 0.7), (98, 1, 1)])
@pytest.mark.parametrize("salt", ["momentum-1", "spread-2"])
def test_shares_converge_to_the_weights(weights: tuple[float, ...], salt: str) -> None:
    subject = router(*(variant(f"v{place}", weight) for place, weight in enumerate(weights)), salt=salt)
    got = [0] * len(weights)
    for key in KEYS:
        got[int(subject.assign(key).variant[1:])] += 1
    expected = [weight / sum(weights) * len(KEYS) for weight in weights]
    chi_square = sum((seen - wanted) ** 2 / wanted for seen, wanted in zip(got, expected, strict=True))
    # The 99.9 % quantiles of chi-square with 1 and 2 degrees of freedom; the keys are fixed.
    assert chi_square < {2: 10.828, 3: 13.816}[len(weights)]


@given(splits, st.floats(0, 1), st.floats(0, 1), st.lists(st.text(), max_size=20))
def test_no_enrolled_key_moves_when_the_coverage_is_raised(
    weights: list[int], one: float, other: float, keys: list[str]
) -> None:
    low, high = sorted((one, other))
    subject = router(*(variant(f"v{place}", weight) for place, weight in enumerate(weights)), coverage=low)
    before = {key: subject.assign(key) for key in keys}
    subject.set_coverage(high)
    for key, route in before.items():
        if route.enrolled or not subject.assign(key).enrolled:
            assert subject.assign(key) == route


@given(splits, st.text(min_size=1), st.lists(st.text(), max_size=30))
def test_full_coverage_enrols_every_key_and_none_enrols_no_key(weights: list[int], salt: str, keys: list[str]) -> None:
    subject = router(*(variant(f"v{place}", weight) for place, weight in enumerate(weights)), salt=salt)
    assert all(subject.assign(key).enrolled for key in keys)
    subject.set_coverage(0.0)
    assert not any(subject.assign(key).enrolled for key in keys)


def test_coverage_enrols_the_same_fraction_of_every_variant() -> None:
    subject = router(variant("a", 3), variant("b", 1), coverage=0.2)
    enrolled = [route.variant for route in map(subject.assign, KEYS) if route.enrolled]
    assert len(enrolled) / len(KEYS) == pytest.approx(0.2, abs=0.01)
    assert enrolled.count("a") / len(enrolled) == pytest.approx(0.75, abs=0.02)


def test_keys_outside_the_coverage_get_the_default() -> None:
    subject = router(coverage=0.0)
    assert {subject.assign(key).variant for key in KEYS[:100]} == {"control"}
    subject = router(variant("control"), variant("candidate"), coverage=0.0, default="candidate")
    assert {subject.assign(key).variant for key in KEYS[:100]} == {"candidate"}
    assert subject.assign("any").path == "/decisions/candidate"


def test_a_default_of_weight_nothing_serves_only_those_outside() -> None:
    subject = router(variant("a"), variant("b"), variant("old", 0), coverage=0.5, default="old")
    routes = [subject.assign(key) for key in KEYS]
    assert {route.variant for route in routes if route.enrolled} == {"a", "b"}
    assert {route.variant for route in routes if not route.enrolled} == {"old"}


def test_a_message_without_a_key_gets_the_default_unenrolled() -> None:
    route = router().assign(None)
    assert (route.variant, route.enrolled) == ("control", False)


def test_lowering_the_coverage_and_raising_it_again_brings_everybody_back() -> None:
    subject = router(coverage=0.6)
    before = [subject.assign(key) for key in KEYS[:1000]]
    subject.set_coverage(0.1)
    subject.set_coverage(0.6)
    assert [subject.assign(key) for key in KEYS[:1000]] == before


@pytest.mark.parametrize("coverage", [-0.1, 1.1, float("nan")])
def test_a_coverage_outside_of_0_to_1_is_refused_and_changes_nothing(coverage: float) -> None:
    subject = router(coverage=0.5)
    with pytest.raises(Refused, match="coverage must be from 0 to 1") as info:
        subject.set_coverage(coverage)
    assert (info.value.code, info.value.field) == ("invalid", "coverage")
    assert subject.settings.coverage == 0.5


# Changing it


def test_another_split_needs_another_salt() -> None:
    subject = router()
    wanted = msgspec.structs.replace(subject.settings, variants=(variant("control", 1), variant("candidate", 1)))
    with pytest.raises(Refused, match=r"the split of 'momentum-1' is control 0.75 / candidate 0.25; ") as info:
        subject.reconfigure(wanted)
    assert info.value.code == "split_changed"
    assert subject.snapshot().variants[0].weight == 3.0
    subject.reconfigure(msgspec.structs.replace(wanted, salt="momentum-2"))
    assert subject.snapshot().variants[0].weight == 1.0


@pytest.mark.parametrize(
    "variants",
    [
        (variant("candidate", 1), variant("control", 3)),
        (variant("control", 3), variant("other", 1)),
        (variant("control", 3),),
        (variant("control", 3), variant("candidate", 1), variant("third", 1)),
    ],
)
def test_order_names_and_number_of_variants_are_the_split(variants: tuple[VariantSettings, ...]) -> None:
    subject = router()
    with pytest.raises(Refused, match="split_changed"):
        subject.reconfigure(msgspec.structs.replace(subject.settings, variants=variants))


def test_what_moves_no_key_may_change_under_the_same_salt() -> None:
    subject = router()
    before = [subject.assign(key).variant for key in KEYS[:500]]
    subject.route(KEYS[0])
    same = (
        VariantSettings(name="control", path="/elsewhere", weight=6.0),
        variant("candidate", 2),
        variant("watcher", shadow=True),
        variant("idle", 0),
    )
    subject.reconfigure(msgspec.structs.replace(subject.settings, variants=same, coverage=1.0, default="candidate"))
    assert [subject.assign(key).variant for key in KEYS[:500]] == before
    assert sum(each.routed for each in subject.snapshot().variants) == 1


# Shadows and figures


def test_a_shadow_sees_every_message_and_has_no_part_of_the_split() -> None:
    subject = router(variant("a"), variant("dark", 1000, shadow=True), coverage=0.5)
    assert [(each.variant, each.path) for each in subject.shadows] == [("dark", "/decisions/dark")]
    for key in KEYS[:200]:
        assert subject.route(key).variant == "a"
    figures = {each.name: each for each in subject.snapshot().variants}
    assert (figures["a"].routed, figures["dark"].routed) == (200, 200)
    assert figures["dark"].share == 0.0
    assert 0 < figures["a"].enrolled < 200
    assert figures["dark"].enrolled == 0


def test_outcomes_are_counted_by_variant() -> None:
    subject = router()
    subject.settle("candidate", None)
    subject.settle("candidate", Refused("invalid"))
    subject.settle("candidate", Unknown())
    subject.settle("candidate", KeyboardInterrupt())
    subject.settle("gone since", None)
    figures = subject.snapshot().variants[1]
    assert (figures.done, figures.refused, figures.failed) == (1, 1, 1)


def test_a_snapshot_shows_the_shares_as_they_are_now() -> None:
    subject = router(variant("a", 3), variant("b", 1), coverage=0.5)
    assert [each.share for each in subject.snapshot().variants] == [0.875, 0.125]
    subject.set_coverage(1.0)
    assert [each.share for each in subject.snapshot().variants] == [0.75, 0.25]
    assert msgspec.json.encode(subject.snapshot()).startswith(b'{"salt":"momentum-1","coverage":1.0,"default":"a"')


class Decide(Message, frozen=True, gc=False, tag="decide"):
    market: str
    user: str | None = None

    def topic_key(self) -> str:
        return self.market


@pytest.mark.parametrize(("field", "key"), [("", "KXBTC"), ("market", "KXBTC"), ("user", None), ("nothing such", None)])
def test_the_key_of_a_message_is_its_topic_key_or_a_named_field(field: str, key: str | None) -> None:
    subject = Router(RouterSettings(salt="s", variants=(variant("a"),), key=field))
    assert subject.key_of(Decide("KXBTC")) == key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"salt": ""}, "salt must not be empty"),
        ({"variants": ()}, "at least one with a weight above 0"),
        ({"variants": (variant("a", 0), variant("b", shadow=True))}, "at least one with a weight above 0"),
        ({"variants": (variant("a"), variant("a"))}, "named twice: a"),
        ({"default": "b"}, "default must be one of a, not 'b'"),
        ({"coverage": 2}, "coverage must be from 0 to 1, not 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(changes: dict[str, object], message: str) -> None:
    chosen: dict[str, object] = {"salt": "s", "variants": (variant("a"),), **changes}
    with pytest.raises(ValueError, match=message):
        RouterSettings(**chosen)  # type: ignore[arg-type]


def test_a_variant_needs_a_name_a_path_and_a_weight() -> None:
    for chosen in ({"name": ""}, {"path": "relative"}, {"weight": -1}, {"weight": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(chosen))):
            VariantSettings(**{"name": "a", "path": "/a", **chosen})  # type: ignore[arg-type]
