"""Shared objects: what of them travels with a task or its function, and what comes out at the other end."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import travelling
from hypothesis import given
from hypothesis import strategies as st
from owner_story import NoCode

from concurrence import Shared
from concurrence.errors import PackingError, ProtocolError
from concurrence.tasks import shared, shared_blobs
from concurrence.tasks.api import ITaskMaster, ITaskSystem, Task
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.importer import BundleImporter
from concurrence.tasks.packing import PackedFunction, TaskPacker
from concurrence.tasks.shared import SharedStore, find_content
from concurrence.tasks.shared_blobs import HEAD_MARK, is_shared
from concurrence.wire.messages import FAILED, KIND_OBJECT

BIG = 200_000


def first(data: Any) -> Any:
    return data.value[0]


def within(box: dict[str, list[Shared[Any]]]) -> Any:
    return box["list"][0].value[1]


def identity(data: Shared[Any]) -> tuple[int, int]:
    return id(data.value), id(data.value)


class Holding(Task):
    def __init__(self, data: Shared[Any]) -> None:
        super().__init__("holding")
        self.data = data

    def __call__(self) -> Any:
        return self.data.value[2]


class Whole(Holding):
    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)


def as_argument(data: Shared[Any]) -> Task:
    return FunctionTask(first, (data,))


def as_keyword(data: Shared[Any]) -> Task:
    return FunctionTask(first, (), {"data": data})


def in_a_container(data: Shared[Any]) -> Task:
    return FunctionTask(within, ({"list": [data]},))


def in_a_closure(data: Shared[Any]) -> Task:
    return FunctionTask(lambda: data.value[0])


def as_default(data: Shared[Any]) -> Task:
    def get(data: Shared[Any] = data) -> Any:
        return data.value[0]

    return FunctionTask(get)


class System(ITaskSystem):
    def __init__(self, data: Shared[Any]) -> None:
        self.data = data

    def generate_tasks(self, master: ITaskMaster) -> list[Task]:
        return [Holding(self.data)]

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: Any) -> None:
        return None

    def gather_result(self, master: ITaskMaster) -> None:
        return None


@pytest.fixture
def packer() -> TaskPacker:
    return TaskPacker(NoCode())


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_blobs, "PIECE_BYTES", 1_000)


def parts(function: PackedFunction) -> list[bytes]:
    return [bundle.blob for bundle in function.bundles if is_shared(bundle.blob)]


def arrive(handle: Shared[Any]) -> tuple[SharedStore, Shared[Any]]:
    """What another process makes of a handle; the contents of this one are out of sight there."""
    store, pickled = SharedStore(BundleImporter()), pickle.dumps(handle)
    for content in shared.with_nested(shared.find_contents(pickled)):
        for blob in content.blobs():
            store.add(blob.digest, memoryview(bytearray(blob.blob)))
        shared._contents.pop(content.digest)  # pyright: ignore[reportPrivateUsage]
    return store, pickle.loads(pickled)


class TestPacking:
    def test_the_content_goes_with_the_function_and_not_with_the_task(self, packer: TaskPacker) -> None:
        data = Shared(np.arange(BIG))
        calls = [packer.pack(FunctionTask(first, (data,))) for _ in range(3)]
        assert all(call.function is calls[0].function for call in calls)
        assert all(len(call.arguments) < 200 and not call.buffers for call in calls)
        assert sum(map(len, parts(calls[0].function))) > 8 * BIG
        plain = packer.pack(FunctionTask(first, ([1],)))
        assert parts(plain.function) == []
        assert plain.function.name == calls[0].function.name

    @pytest.mark.parametrize(
        "make",
        [
            as_argument,
            as_keyword,
            in_a_container,
            in_a_closure,
            as_default,
            Holding,
            Whole,
        ],
    )
    def test_wherever_it_is_in_a_task(self, make: Callable[[Any], Task], packer: TaskPacker) -> None:
        data = Shared([0, 1, 2, "x" * BIG])
        call = packer.pack(make(data))
        assert len(call.arguments) + len(call.function.blob) < 3_000
        assert sum(map(len, parts(call.function))) > BIG

    def test_in_another_process(self) -> None:
        array, text = Shared(np.arange(BIG)), Shared(["a", "b", "c" * BIG])

        def both() -> tuple[int, str, bool]:
            return int(array.value[7]), text.value[0], array.value.flags.writeable

        tasks = [
            FunctionTask(first, (text,)),
            FunctionTask(within, ({"list": [text]},)),
            Whole(text),
            FunctionTask(both),
            FunctionTask(identity, (text,)),
            FunctionTask(identity, (text,)),
        ]
        outcomes = [outcome.value for outcome in travelling.run_there(*tasks)]
        assert outcomes[:3] == ["a", "b", "c" * BIG]
        assert outcomes[3] == (7, "a", False)
        assert outcomes[4] == outcomes[5], "it is unpickled once"

    def test_a_task_without_any_is_packed_as_before(self, packer: TaskPacker) -> None:
        data = Shared([1])
        packer.pack(FunctionTask(first, (data,)))
        one, other = (packer.pack(FunctionTask(first, ([n],))) for n in range(2))
        assert one.function is other.function
        assert not one.function.bundles

    def test_a_system_takes_it_along(self, packer: TaskPacker) -> None:
        data = Shared(["x" * BIG])
        packed = packer.pack_system(System(data))
        assert len(packed.blob) < 3_000
        assert sum(map(len, parts(packed))) > BIG

    def test_equal_content_is_one(self, packer: TaskPacker) -> None:
        one, other = Shared([1, "x" * BIG]), Shared([1, "x" * BIG])
        calls = [packer.pack(FunctionTask(first, (data,))) for data in (one, other)]
        assert calls[0].function is calls[1].function
        assert packer.pack(FunctionTask(first, (Shared([2]),))).function is not calls[0].function

    def test_changes_after_the_first_use_do_not_travel(self, packer: TaskPacker) -> None:
        array = np.zeros(BIG)
        data = Shared(array)
        digest = packer.pack(FunctionTask(first, (data,))).function.digest
        array[0] = 1.0
        assert data.value is array
        assert packer.pack(FunctionTask(first, (data,))).function.digest == digest
        _, there = arrive(data)
        assert there.value[0] == 0.0

    def test_one_within_another_comes_along(self, packer: TaskPacker) -> None:
        inner = Shared(["x" * BIG])
        outer = Shared({"inner": inner})
        assert sum(map(len, parts(packer.pack(FunctionTask(first, (outer,))).function))) > BIG
        _, there = arrive(outer)
        assert there.value["inner"].value == ["x" * BIG]

    @pytest.mark.parametrize("make", [as_argument, Holding, Whole])
    def test_what_cannot_be_pickled_is_named(self, make: Callable[[Any], Task], packer: TaskPacker) -> None:
        with pytest.raises(PackingError, match=r"item 'lock' of the shared dict is a _thread.lock") as caught:
            packer.pack(make(Shared({"lock": threading.Lock()})))
        assert "__getstate__" in caught.value.hint

    def test_in_a_system_and_in_a_closure_too(self, packer: TaskPacker) -> None:
        data = Shared({"lock": threading.Lock()})
        with pytest.raises(PackingError, match="item 'lock' of the shared dict"):
            packer.pack_system(System(data))
        with pytest.raises(PackingError, match="item 'lock' of the shared dict"):
            packer.pack(FunctionTask(lambda: data.value))

    @pytest.mark.usefixtures("small_pieces")
    def test_what_is_beyond_the_limit_is_refused(self, packer: TaskPacker) -> None:
        with pytest.raises(PackingError, match="at most 1,024 can be sent"):
            packer.pack(FunctionTask(first, (Shared(list(range(1_000_000))),)))

    def test_a_task_whose_object_is_gone_fails(self, packer: TaskPacker) -> None:
        class Fleeting(Whole):
            def __getstate__(self) -> dict[str, Any]:
                return {"data": Shared(["fleeting"])}

        call = packer.pack(Fleeting(Shared([])))
        gc.collect()
        (outcome,) = travelling.Worker().run([call])
        assert outcome.status == FAILED
        assert "SharedMissing" in outcome.fault.message

    def test_data_that_looks_like_a_reference_is_data(self, packer: TaskPacker) -> None:
        mark = pickle.dumps(Shared([1]))
        assert packer.pack(FunctionTask(len, (mark,))).arguments

    def test_what_was_packed_is_dropped_with_the_object(self, packer: TaskPacker) -> None:
        kept = Shared([0])
        packed: list[Any] = []
        for n in range(3):
            data = Shared([n, "x" * BIG])
            packed.append(weakref.ref(packer.pack(FunctionTask(within, (kept, data))).function))
            del data
        gc.collect()
        assert [reference() for reference in packed] == [None] * 3

    def test_the_host_of_a_system_does_not_count_them_among_its_code(self) -> None:
        data = Shared([0, 1, 2, "x" * BIG])
        content = data.content()

        class Received(BundleCollector):
            def needs(self, modules: Any) -> Any:
                found = super().needs(())
                return found._replace(bundles=tuple(content.blobs()))

        assert parts(TaskPacker(Received()).pack(FunctionTask(first, ([1],))).function) == []


class TestArrival:
    def test_it_is_unpickled_when_it_is_first_used_and_once(self) -> None:
        store, there = arrive(Shared([0, "x"]))
        assert there.value is pickle.loads(pickle.dumps(there)).value
        digest = there.content().digest
        del there
        gc.collect()
        assert find_content(digest) is not None, "it is kept for the next task"
        store.keep([])
        gc.collect()
        assert find_content(digest) is None
        assert digest not in store

    def test_a_handle_that_arrived_travels_on(self, packer: TaskPacker) -> None:
        data = Shared(np.arange(BIG))
        sent = {blob.digest for blob in data.content().blobs()}
        _store, there = arrive(data)
        assert there.value[5] == 5
        assert {bundle.digest for bundle in packer.pack(Holding(there)).function.bundles} == sent

    def test_without_its_content_it_says_so(self) -> None:
        store, there = arrive(Shared([5]))
        missing = pickle.dumps(there)
        del there
        store.keep([])
        gc.collect()
        with pytest.raises(shared.SharedMissing, match="is not here") as caught:
            _ = pickle.loads(missing).value
        assert caught.value.hint

    def test_a_worker_that_lacks_it_fails_the_task(self, packer: TaskPacker) -> None:
        data = Shared([7])
        call = packer.pack(FunctionTask(first, (data,)))
        plain = packer.pack(FunctionTask(first, ([1],)))
        arguments = call.arguments
        del data, call
        gc.collect()
        worker = travelling.Worker()
        (outcome,) = worker.run([type(plain)(plain.function, arguments, [])])
        assert outcome.status == FAILED
        assert "SharedMissing" in outcome.fault.message

    def test_bytes_that_are_not_those_of_the_digest_are_refused(self) -> None:
        store, (head, *_) = SharedStore(BundleImporter()), Shared([1]).content().blobs()
        with pytest.raises(ProtocolError):
            store.add(head.digest, head.blob + b"x")

    def test_a_head_that_is_nonsense_is_an_error(self) -> None:
        store = SharedStore(BundleImporter())
        blob = HEAD_MARK + b"\xc1"
        store.add(shared.bundle_digest(blob), blob)
        with pytest.raises(ProtocolError, match="malformed"):
            find_content(shared.bundle_digest(blob))

    def test_whole_objects_need_it_too(self, packer: TaskPacker) -> None:
        call = packer.pack(Whole(Shared([0, 1, 2])))
        assert call.function.kind == KIND_OBJECT
        (outcome,) = travelling.Worker().run([call])
        assert outcome.value == 2


@pytest.mark.usefixtures("small_pieces")
class TestPieces:
    def test_an_array_of_many_pieces_is_whole_and_read_only(self) -> None:
        data = Shared({"array": np.arange(10_000), "other": [1, 2, 3], "zeros": np.zeros(10_000)})
        blobs = data.content().blobs()
        assert max(len(blob.blob) for blob in blobs[1:]) == 1_032
        assert len(blobs) < 1 + 80 + 80, "equal pieces of one object travel once"
        _store, there = arrive(data)
        assert (there.value["array"] == np.arange(10_000)).all()
        assert not there.value["array"].flags.writeable
        assert not there.value["zeros"].any()
        assert there.value["other"] == [1, 2, 3]

    def test_objects_have_no_pieces_in_common(self) -> None:
        one, other = Shared(np.zeros(10_000)), Shared([np.zeros(10_000)])
        digests = [{blob.digest for blob in data.content().blobs()} for data in (one, other)]
        assert digests[0].isdisjoint(digests[1])

    def test_a_piece_too_few_is_not_there(self) -> None:
        handle = Shared(list(range(5_000)))
        blobs = handle.content().blobs()
        store = SharedStore(BundleImporter())
        for blob in blobs[:-1]:
            store.add(blob.digest, blob.blob)
        assert store.content(blobs[0].digest) is None
        store.add(blobs[-1].digest, blobs[-1].blob)
        content = store.content(blobs[0].digest)
        assert content is not None
        assert content.value(()) == list(range(5_000))


@given(st.lists(st.binary(max_size=100_000) | st.integers() | st.text(), max_size=5), st.integers(900, 70_000))
def test_whatever_it_is_and_however_it_is_cut(value: list[Any], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_blobs, "PIECE_BYTES", size)
        handle = Shared([*value, np.frombuffer(b"12345678" * 9_000, np.uint8)])
        _store, there = arrive(handle)
        *rest, array = there.value
    assert rest == value
    assert bytes(array) == b"12345678" * 9_000


def test_a_loop_that_asks_for_the_object_again_and_again_does_not_pay_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Shared(["an object"])
    handle = pickle.loads(pickle.dumps(original))
    assert handle.value == ["an object"]

    def find() -> None:
        raise AssertionError("it was looked for again")

    monkeypatch.setattr(shared, "_active_code", find)
    assert handle.value == ["an object"]
