"""Recorded decisions: whatever is written reads back exactly, and the same decision comes out."""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from decide.builders import NOW, World, curve, engine, own_lane, own_resource, samples, traffic
from decide.fleet import Fleet, day
from spillway.api.common import Model, ObjectMeta
from spillway.decide import decide
from spillway.decide.codec import OMITTED, CodecError, canonical, codec_of
from spillway.decide.decision import Decision
from spillway.decide.memory import LaneMemory, Memory
from spillway.decide.recording import Begun, Record, RecordingError, Shared, begin, differences, line_of, parse, replay
from spillway.decide.snapshot import PlanSnapshot

RECORDED = (PlanSnapshot, Memory, Decision)


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"


class Level(Enum):
    LOW = 1
    HIGH = (2, 3)


@dataclass(frozen=True, slots=True)
class Leaf:
    number: float
    whole: int = 0


@dataclass(frozen=True, slots=True)
class Other:
    text: str


@dataclass(frozen=True, slots=True)
class Tree:
    """One of everything that a memory may hold."""

    number: float
    maybe: float | None = None
    money: Decimal = Decimal(0)
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    pair: tuple[float, int] = (0.0, 0)
    many: tuple[Leaf, ...] = ()
    names: frozenset[str] = frozenset()
    by_name: Mapping[str, Leaf] = field(default_factory=dict)
    by_level: Mapping[tuple[int, Colour], float] = field(default_factory=dict)
    either: Leaf | Other | None = None
    scalar: int | str | None = None
    array: NDArray[np.float64] | None = None
    plain: tuple[object, ...] = ()
    child: Tree | None = None


floats = st.floats(allow_nan=False)
leaves = st.builds(Leaf, floats, st.integers())
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(), lambda inner: st.lists(inner, max_size=3).map(tuple)
)
trees = st.recursive(
    st.builds(
        Tree,
        number=floats,
        maybe=st.none() | floats,
        money=st.decimals(allow_nan=False, allow_infinity=False),
        colour=st.sampled_from(Colour),
        level=st.sampled_from(Level),
        pair=st.tuples(floats, st.integers()),
        many=st.lists(leaves, max_size=3).map(tuple),
        names=st.frozensets(st.text(), max_size=3),
        by_name=st.dictionaries(st.text(), leaves, max_size=3),
        by_level=st.dictionaries(st.tuples(st.integers(), st.sampled_from(Colour)), floats, max_size=3),
        either=st.none() | leaves | st.builds(Other, st.text()),
        scalar=st.none() | st.integers() | st.text(),
        plain=st.lists(plain, max_size=3).map(tuple),
    ),
    lambda children: st.builds(Tree, number=floats, child=children),
    max_leaves=3,
)


def through(kind: Any, value: Any) -> Any:
    """Written to text and read back."""
    return codec_of(kind).decode(json.loads(canonical(codec_of(kind).encode(value))))


def bits(value: float) -> bytes:
    return np.float64(value).tobytes()


@settings(max_examples=300, deadline=None)
@given(trees)
def test_anything_reads_back_as_it_was(tree: Tree) -> None:
    found = through(Tree, tree)
    assert found == tree
    assert [*found.by_name] == [*tree.by_name]  # in order: sums depend on it
    assert bits(found.number) == bits(tree.number)
    assert str(found.money) == str(tree.money)
    assert canonical(codec_of(Tree).encode(found)) == canonical(codec_of(Tree).encode(tree))


@pytest.mark.parametrize("value", [0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, 1])
def test_numbers_keep_every_bit_and_their_kind(value: float) -> None:
    found = through(float, value)
    assert type(found) is type(value)
    assert bits(found) == bits(value)


@pytest.mark.parametrize(
    "array",
    [
        np.array([0.1, -0.0, np.nan, np.inf]),
        np.arange(12, dtype=np.int64).reshape(3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 3), dtype=np.float32),
        np.array(2.5),
        np.array([True, False]),
        np.arange(4, dtype=">i2"),
    ],
)
def test_arrays_keep_dtype_shape_values_and_order_in_memory(array: NDArray[Any]) -> None:
    found = through(np.ndarray, array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert (found.flags.c_contiguous, found.flags.f_contiguous) == (array.flags.c_contiguous, array.flags.f_contiguous)


def test_numpy_scalars_stay_what_they_are() -> None:
    found = through(Leaf, Leaf(np.float64(0.1), np.int64(3)))  # type: ignore[arg-type]
    assert (type(found.number), type(found.whole)) == (np.float64, np.int64)
    assert (found.number, found.whole) == (0.1, 3)


@dataclass(frozen=True)
class Vague:
    thing: Any


def test_what_can_not_be_recorded_says_where() -> None:
    with pytest.raises(CodecError, match=r"^thing: values annotated .*Any can't be recorded"):
        codec_of(Vague).encode(Vague(1))
    with pytest.raises(CodecError, match=r"^many\[1\]\.number: object where a number"):
        codec_of(Tree).encode(Tree(1.0, many=(Leaf(1.0), Leaf(object()))))  # type: ignore[arg-type]
    with pytest.raises(CodecError, match=r"^either: Tree where one of Leaf, Other"):
        codec_of(Tree).encode(Tree(1.0, either=Tree(2.0)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "Tree lacks its field number"),
        ({"number": 1.0, "later": 1}, "Tree of this release has no field later"),
        ({"number": "x"}, 'number: "x" where float was expected'),
        ({"number": 1.0, "colour": "Green"}, 'colour: "Green" is no value of Colour'),
        ({"number": 1.0, "many": [{"number": 1.0}, 3]}, r"many\[1\]: 3 where Leaf was expected"),
        ({"number": 1.0, "array": {"dtype": "<f8", "shape": [3], "base64": "AAAA"}}, "array: not an array"),
        ({"number": 1.0, "array": {"dtype": "O", "shape": [], "base64": ""}}, "array: .*can't be recorded"),
        ({"number": 1.0, "pair": [1.0]}, "pair: 1 items where 2 were expected"),
        ({"number": 1.0, "money": "1,5"}, "money: .* is no decimal number"),
        ([], "where Tree was expected"),
    ],
)
def test_what_is_no_record_says_where(document: Any, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        codec_of(Tree).decode(document)


def annotated(kind: Any, seen: set[Any]) -> None:
    """Ask for the codec of every annotation below ``kind``."""
    if kind in seen:
        return
    seen.add(kind)
    codec_of(kind)
    if isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, Model)):
        hints = typing.get_type_hints(kind)
        names = [*kind.model_fields] if issubclass(kind, Model) else [f.name for f in fields(kind) if f.init]
        for name in names:
            if (kind, name) not in OMITTED:
                annotated(hints[name], seen)
    if typing.get_origin(kind) not in (np.ndarray, typing.Literal):
        for argument in typing.get_args(kind):
            if argument is not Ellipsis:
                annotated(argument, seen)


@pytest.mark.parametrize("kind", RECORDED)
def test_every_field_of_snapshot_memory_and_decision_can_be_recorded(kind: type) -> None:
    seen: set[Any] = set()
    annotated(kind, seen)
    assert len(seen) > 3


def rich() -> World:
    """A world that has a bit of everything."""
    lane = own_lane(
        resource=own_resource(profile={"kvCacheTokens": 9000}),
        engine=engine(samples=samples(lambda batch: 10 + batch / 2, [1.0, 8.0, 30.0] * 20)),
    )
    shaped = curve(lambda at: None if int(at) % 7 == 0 else 20 + 5 * math.sin(at / 600), 480, 60.0)
    return replace(World(), classes=(traffic(history=(shaped,)),), lanes=(lane, *World().lanes[1:]))


def line(begun: Begun, decision: Decision | None, error: BaseException | None = None) -> bytes:
    return line_of(begun.document("1.2.3", decision, error), Shared())


def record_of(snapshot: PlanSnapshot, memory: Memory) -> bytes:
    return line(begin(snapshot, memory), decide(snapshot, memory)[0])


def test_a_record_holds_the_very_snapshot_and_memory() -> None:
    snapshot = rich().snapshot()
    memory = decide(snapshot, Memory())[1]
    record = parse(record_of(snapshot, memory))
    assert record.snapshot == snapshot
    assert codec_of(Memory).encode(record.memory) == codec_of(Memory).encode(memory)
    assert (record.plan, record.at, record.product) == ("ai/main", NOW, "1.2.3")
    assert replay(record).identical


def test_manifests_are_taken_as_they_were() -> None:
    plan = World().plan
    odd = plan.model_copy(update={"metadata": ObjectMeta(name="Not A Name", annotations={"last-applied": "secret"})})
    written = record_of(replace(World(), plan=odd).snapshot(), Memory())
    assert b"secret" not in written
    found = parse(written).snapshot.plan
    assert found.metadata.name == "Not A Name"
    assert found.spec == plan.spec


def test_decisions_of_a_day_replay_byte_by_byte() -> None:
    fleet = Fleet(
        day(360.0, 5.0, 120.0), season=360.0, scrape=2.0, tick=3.0, startup=5.0, replicas=2, hosted=0, usd_out="2.0"
    )
    fleet.now = 20 * 360.0
    lines, written = [], Shared()
    while fleet.now < 21 * 360.0:
        begun = begin(fleet.snapshot().snapshot(), fleet.memory)
        lines.append(line_of(begun.document("1.2.3", fleet.step().decision), written))
    read = Shared()
    replayed = [replay(parse(each, read)) for each in lines]
    assert len(replayed) == 120
    assert {lane.recommended for each in replayed if each.decision for lane in each.decision.lanes} > {2, 5, 8}
    assert [each.differences() for each in replayed if not each.identical] == []


def test_what_stood_there_before_is_referred_to_and_read_back() -> None:
    document = begin(rich().snapshot(), Memory()).document("1.2.3", decide(rich().snapshot(), Memory())[0])
    written, read = Shared(), Shared()
    first, second = line_of(document, written), line_of(document, written)
    assert len(second) < 0.8 * len(first)
    assert parse(first, read) == parse(second, read)
    with pytest.raises(RecordingError, match="refers to an earlier line that is missing"):
        parse(second)


def changed(recorded: bytes, **changes: Any) -> Record:
    return parse(canonical(json.loads(recorded) | changes))


def test_a_difference_is_found_and_named() -> None:
    recorded_line = record_of(World().snapshot(), Memory())
    decision = json.loads(recorded_line)["decision"]
    decision["lanes"][0]["recommended"] += 1
    decision["costs"]["billed"] = math.nextafter(decision["costs"]["billed"], math.inf)
    decision["lanes"].reverse()
    replayed = replay(changed(recorded_line, decision=decision))
    assert not replayed.identical
    found = {each.path: (each.recorded, each.now) for each in replayed.differences()}
    assert found.keys() == {"lanes[gpu].recommended", "lanes (order)", "costs.billed"}
    recorded, now = found["lanes[gpu].recommended"]
    assert recorded == now + 1


def test_the_order_of_a_mapping_is_part_of_a_decision() -> None:
    found = list(differences({"a": 1, "b": [{"key": "x"}]}, {"b": [{"key": "x"}], "a": 1}))
    assert [each.path for each in found] == [" (order)"]
    assert next(differences([1, 2], [1], "p")).path == "p[1]"


def test_deciding_that_failed_replays_as_the_same_failure() -> None:
    snapshot = replace(World().snapshot(), at="no time")  # type: ignore[arg-type]
    with pytest.raises(TypeError) as failure:
        decide(snapshot, Memory())
    begun = begin(World().snapshot(), Memory())
    replayed = replay(parse(line(begun, None, failure.value)))
    assert not replayed.identical  # this snapshot can be decided on
    assert replayed.differences()[0].path == "error"


def test_a_decision_that_changes_its_input_is_found_out() -> None:
    memory = Memory(lanes={"gpu": LaneMemory(NOW - 100, ((NOW - 50, 9),))})
    snapshot = replace(World(), plan=World().plan).snapshot()
    begun = begin(snapshot, memory)
    memory.lanes["gpu"] = LaneMemory(NOW - 100)  # type: ignore[index]
    record = parse(line(begun, decide(snapshot, memory)[0]))
    assert record.memory.lanes["gpu"].recommendations == ((NOW - 50, 9),)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: line[: len(line) // 2], "broken or cut off"),
        (lambda line: b"\xff\xfe", "broken or cut off"),
        (lambda line: b"[1, 2]", "not a recording"),
        (lambda line: b'{"version": 1}', "not a recording"),
        (lambda line: line.replace(b'{"version":1', b'{"version":7'), "format 7 by spillway 1.2.3; .* reads format 1"),
        (lambda line: line.replace(b'"tick_seconds"', b'"tack_seconds"'), "no field tack_seconds"),
        (lambda line: canonical(json.loads(line) | {"decision": None}), "has no decision"),
    ],
)
def test_a_line_of_no_use_is_said_in_one_sentence(change: Any, said: str) -> None:
    with pytest.raises(RecordingError, match=said) as caught:
        parse(change(record_of(World().snapshot(), Memory())))
    assert "\n" not in str(caught.value)
