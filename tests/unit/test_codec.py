"""Bytes and messages: every type of every link there and back, and whatever bytes an enemy can think of."""

from __future__ import annotations

import random
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concurrence.errors import ProtocolError, TaskCancelled
from concurrence.ids import SystemId, TaskId, new_node_id, new_session, new_system_id, parse_task_id
from concurrence.wire import codec, faults
from concurrence.wire import messages as wire
from concurrence.wire.codec import Frame, MessageDecoder, Parcel, encode

LINKS: dict[str, tuple[MessageDecoder[Any], Any]] = {
    "for master": (codec.decoder_for_master(), wire.ToMaster),
    "from owner": (codec.decoder_from_owner(), wire.FromOwner),
    "to owner": (codec.decoder_to_owner(), wire.ToOwner),
    "from slave": (codec.decoder_from_slave(), wire.FromSlave),
    "to slave": (codec.decoder_to_slave(), wire.ToSlave),
    "from worker": (codec.decoder_from_worker(), wire.FromWorker),
    "to worker": (codec.decoder_to_worker(), wire.ToWorker),
    "from template": (codec.decoder_from_template(), wire.FromTemplate),
    "to template": (codec.decoder_to_template(), wire.ToTemplate),
}
PAIRS = [(link, message) for link, (_, union) in LINKS.items() for message in get_args(union)]


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, within its limits."""
    if isinstance(kind, msgspec.inspect.IntType):
        return st.integers(kind.ge if kind.ge is not None else -(2**63), min(kind.le or 2**64 - 1, 2**64 - 1))
    if isinstance(kind, msgspec.inspect.FloatType):
        return st.floats(kind.ge, kind.le, allow_nan=False)
    if isinstance(kind, msgspec.inspect.StrType):
        return st.text(st.characters(codec="utf-8"), min_size=kind.min_length or 0, max_size=20)
    if isinstance(kind, msgspec.inspect.BytesType):
        return st.binary(min_size=kind.min_length or 0, max_size=min(kind.max_length or 20, 20))
    if isinstance(kind, msgspec.inspect.BoolType):
        return st.booleans()
    if isinstance(kind, msgspec.inspect.NoneType):
        return st.none()
    if isinstance(kind, msgspec.inspect.ListType):
        return st.lists(values_of(kind.item_type), max_size=4)
    if isinstance(kind, msgspec.inspect.DictType):
        return st.dictionaries(values_of(kind.key_type), values_of(kind.value_type), max_size=3)
    if isinstance(kind, msgspec.inspect.UnionType):
        return st.one_of(*map(values_of, kind.types))
    if isinstance(kind, msgspec.inspect.StructType):
        return of(kind.cls)
    raise TypeError(f"no strategy for {kind}")


def of(message: type[Any]) -> st.SearchStrategy[Any]:
    described = msgspec.inspect.type_info(message)
    assert isinstance(described, msgspec.inspect.StructType)
    fields = {
        field.name: st.integers(0, 3) if field.name == "frames" else values_of(field.type)
        for field in described.fields
    }
    return st.builds(message, **fields)


@pytest.mark.parametrize(("link", "message"), PAIRS, ids=lambda value: getattr(value, "__name__", value))
def test_every_message_of_every_link_there_and_back(link: str, message: type[Any]) -> None:
    decoder = LINKS[link][0]

    @settings(max_examples=8, deadline=None)
    @given(st.lists(of(message), min_size=1, max_size=3))
    def round_trip(sent: list[Any]) -> None:
        parcels: list[Parcel[Any]] = []
        for number, each in enumerate(sent):
            count = each.frames if isinstance(each, wire.Bodied) else 0
            parcels.append(Parcel(each, tuple(b"%d-%d" % (number, frame) for frame in range(count))))
        received = decoder.decode(encode(parcels))
        assert [parcel.message for parcel in received] == sent
        assert [tuple(parcel.frames) for parcel in received] == [parcel.frames for parcel in parcels]

    round_trip()


@pytest.mark.parametrize("link", LINKS)
@settings(max_examples=60, deadline=None)
@given(frames=st.lists(st.binary(max_size=60), max_size=4))
def test_random_bytes_are_refused_or_a_message(link: str, frames: list[bytes]) -> None:
    decode_safely(LINKS[link][0], list(frames))


def decode_safely(decoder: MessageDecoder[Any], frames: list[Frame]) -> None:
    try:
        parcels = decoder.decode(frames)
    except ProtocolError:
        return
    assert sum(len(parcel.frames) for parcel in parcels) == len(frames) - 1


SAMPLE = encode(
    [
        Parcel(wire.Hello(1, "1", "client", "n", "s", "name", "3.11", 7, chunks=[1, 2, 3])),
        Parcel(wire.PushTasks(2, 1, 7, 1, resources={"gpu": 1.0}), [b"body", b"buffer"]),
        Parcel(wire.ChunkResults(1, 5, [1, 2], b"\0\1", 0.5), [b"results"]),
    ]
)


@pytest.mark.parametrize("length", range(len(SAMPLE[0])))
def test_truncated_headers_are_refused(length: int) -> None:
    with pytest.raises(ProtocolError):
        codec.decoder_for_master().decode([SAMPLE[0][:length], *SAMPLE[1:]])


def test_mutated_headers_are_refused_or_a_message() -> None:
    decoder, dice = codec.decoder_for_master(), random.Random(1)
    for _ in range(5_000):
        header = bytearray(SAMPLE[0])
        for _ in range(dice.randint(1, 3)):
            header[dice.randrange(len(header))] = dice.randrange(256)
        decode_safely(decoder, [bytes(header), *SAMPLE[1:]])


@pytest.mark.parametrize("frames", [[], SAMPLE[:1], SAMPLE[:-1], [*SAMPLE, b"more"]], ids=len)
def test_frames_that_nobody_announced_or_that_are_missing(frames: list[Frame]) -> None:
    with pytest.raises(ProtocolError):
        codec.decoder_for_master().decode(frames)


def test_limits() -> None:
    decoder = codec.decoder_from_owner()
    pings: list[Parcel[wire.Message]] = [Parcel(wire.Ping())] * codec.MAX_MESSAGES
    assert len(decoder.decode(encode(pings))) == codec.MAX_MESSAGES
    with pytest.raises(ProtocolError):
        decoder.decode(encode([*pings, Parcel(wire.Ping())]))
    with pytest.raises(ProtocolError, match="frames"):
        decoder.decode([b""] * (wire.MAX_FRAMES + 1))
    with pytest.raises(ProtocolError, match="header"):
        decoder.decode([bytes(codec.MAX_HEADER_BYTES + 1)])
    with pytest.raises(ProtocolError):
        decoder.decode(encode([Parcel(wire.Cancel(1, list(range(wire.MAX_CHUNK_TASKS + 1))))]))
    with pytest.raises(ProtocolError):
        codec.decode_tasks([codec.encode_tasks([wire.PackedTask(0, b"")] * (wire.MAX_CHUNK_TASKS + 1))])
    with pytest.raises(ProtocolError):
        codec.decode_results([codec.encode_results([wire.PackedResult(b"")] * (wire.MAX_CHUNK_TASKS + 1))])


def test_a_header_that_nests_without_end() -> None:
    with pytest.raises(ProtocolError):
        codec.decoder_from_owner().decode([b"\x91" * 100_000])


@pytest.mark.parametrize("link", ["from owner", "from slave"])
def test_one_kind_of_peer_cannot_speak_for_another(link: str) -> None:
    foreign = wire.Claimed([1]) if link == "from owner" else wire.Cancel(1)
    with pytest.raises(ProtocolError):
        LINKS[link][0].decode(encode([Parcel(foreign)]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=9), st.integers(0, 3)), min_size=1, max_size=9))
def test_bodies_there_and_back(entries: list[tuple[bytes, int]]) -> None:
    buffers: list[Frame] = [b"buffer"] * sum(count for _, count in entries)
    tasks = [wire.PackedTask(number, *entry) for number, entry in enumerate(entries)]
    assert codec.decode_tasks([codec.encode_tasks(tuple(tasks)), *buffers]) == tasks
    packed = [wire.PackedResult(*entry) for entry in entries]
    assert codec.decode_results([codec.encode_results(iter(packed)), *buffers]) == packed
    for decode, body in (
        (codec.decode_tasks, codec.encode_tasks(tasks)),
        (codec.decode_results, codec.encode_results(packed)),
    ):
        with pytest.raises(ProtocolError, match="buffers"):
            decode([body, *buffers, b"one more"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=3))
def test_random_bodies_are_refused_or_a_body(frames: list[bytes]) -> None:
    for decode in (codec.decode_tasks, codec.decode_results):
        try:
            decode(list(frames))
        except ProtocolError:
            continue


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_random_faults_are_refused_or_a_fault(payload: bytes) -> None:
    try:
        faults.decode_fault(payload)
    except ProtocolError:
        return


_TRACEBACK = 'Traceback (most recent call last):\n  File "app.py", line 1, in f\nValueError: no'


def test_a_fault_becomes_the_error_that_handlers_see() -> None:
    cause = ValueError("no")
    fault = faults.Fault(faults.KIND_EXCEPTION, "ValueError: no", "look", _TRACEBACK, b"", "printed")
    assert faults.decode_fault(faults.encode_fault(fault)) == fault
    error = faults.task_error(fault, slave="s", attempt=2, cause=cause)
    assert (error.kind, error.slave, error.attempt, error.cause, error.output) == (
        "exception",
        "s",
        2,
        cause,
        "printed",
    )
    assert str(error) == "ValueError: no (slave s, attempt 2)\n  look\n" + _TRACEBACK
    bare = faults.task_error(faults.Fault(faults.KIND_EXCEPTION, "no", "", "TypeError: no"), slave="", attempt=1)
    assert str(bare) == "no", "a traceback without frames would only say it again"
    cancelled = faults.task_error(faults.Fault(faults.KIND_CANCELLED, "gone"), slave="", attempt=0)
    assert isinstance(cancelled, TaskCancelled)


@given(st.text(max_size=400), st.integers(100, 300))
def test_shortened_texts_keep_both_ends(text: str, limit: int) -> None:
    short = faults.shorten(text, limit)
    assert len(short) <= max(limit, len(text))
    assert len(short) <= limit
    if len(text) <= limit:
        assert short == text
    else:
        assert short.startswith(text[:10])
        assert short.endswith(text[-10:])


class TestIds:
    def test_task_ids_are_written_and_read(self) -> None:
        task = TaskId(SystemId(0x1A2B), 42)
        assert str(task) == "0000000000001a2b/42"
        assert parse_task_id(str(task)) == task
        for text in ("", "42", "xyz/1", "1/x", "1-2"):
            with pytest.raises(ValueError, match=r"."):
                parse_task_id(text)

    def test_system_ids_sort_by_time_and_fit_a_number(self) -> None:
        earlier, later = new_system_id(1_700_000_000.0), new_system_id(1_700_000_001.0)
        assert 0 < earlier < later < 2**63
        assert new_system_id(1_700_000_000.0) != earlier

    def test_node_ids_and_sessions_are_fresh(self) -> None:
        assert len({new_node_id() for _ in range(100)}) == 100
        assert (len(new_node_id()), len(new_session())) == (16, 32)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0, 1e300])
def test_times_that_are_no_times_are_refused(seconds: float) -> None:
    results = wire.ChunkResults(1, 1, [1], b"\0", seconds)
    with pytest.raises(ProtocolError):
        codec.decoder_from_slave().decode(encode([Parcel(results, [b""])]))


def test_batches_keep_within_every_limit() -> None:
    texts = [Parcel(wire.Output(1, None, "log", "s", "x" * 60_000)) for _ in range(300)]
    results = [Parcel(wire.ChunkResults(1, n, [n], b"\0", 0.0), [bytes(1_000_000)]) for n in range(200)]
    pings = [Parcel(wire.Ping(n)) for n in range(40_000)]
    many = [Parcel(wire.ChunkResults(1_000, n, [n], b"\0", 0.0), [b""] * 1_000) for n in range(100)]
    decoder = codec.decoder_from_slave()
    parcels: list[Parcel[wire.Message]] = [*texts, *results, *pings, *many]
    got: list[wire.Message] = []
    for batch in codec.in_batches(parcels):
        frames = encode(batch)
        assert sum(map(codec.frame_size, frames)) <= codec.BATCH_BYTES + codec.MAX_HEADER_BYTES
        got += [parcel.message for parcel in decoder.decode(frames)]
    assert got == [parcel.message for parcel in parcels]


def test_what_was_taken_back_has_not_ended() -> None:
    statuses = bytes([wire.FINISHED, wire.RETURNED, wire.FAILED, wire.CANCELLED])
    assert wire.ChunkResults(1, 4, [1, 2, 3, 4], statuses, 0.0).ended == 3
