import pickle
import sys
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import travelling

from concurrence.errors import ProtocolError
from concurrence.tasks.bundles import Bundle
from concurrence.tasks.functions import TaskFunction, task
from concurrence.tasks.importer import BundleModule
from concurrence.tasks.loading import CodeMissing, FunctionLoader, format_traceback
from concurrence.tasks.packing import PackedFunction
from concurrence.wire.digests import bundle_digest, function_digest
from concurrence.wire.faults import KIND_CODE, Fault
from concurrence.wire.messages import KIND_CALL, KIND_OBJECT, Requirement


def bundle_of(name: str, source: str) -> Bundle:
    blob = msgspec.msgpack.encode([BundleModule(name, False, name + ".py", source.encode())])
    return Bundle(bundle_digest(blob), blob)


def packed(blob: bytes = pickle.dumps(len), **changes: Any) -> PackedFunction:
    function = PackedFunction("app:f", KIND_CALL, [], [], blob)
    return replace(function, **changes)


def loader_with(function: PackedFunction, *, bundles: bool = True) -> FunctionLoader:
    loader = FunctionLoader("slave s1")
    for bundle in function.bundles if bundles else ():
        loader.define_bundle(bundle.digest, bundle.blob)
    loader.define_function(travelling.definition(3, function), memoryview(function.blob))
    return loader


def fault_of(loader: FunctionLoader, number: int = 3) -> Fault:
    with pytest.raises(CodeMissing) as caught:
        loader.load(number)
    assert caught.value.fault.kind == KIND_CODE
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.fault == caught.value.fault
    return caught.value.fault


def test_a_function_is_loaded_once() -> None:
    loader = loader_with(packed())
    assert not loader.is_loaded(3)
    loaded = loader.load(3)
    assert loaded.target is len
    assert loader.load(3) is loaded
    assert loader.is_loaded(3)


def test_a_decorated_function_is_unwrapped() -> None:
    import cloudpickle  # noqa: PLC0415

    loaded = loader_with(packed(cloudpickle.dumps(task(lambda: 5)))).load(3)
    assert not isinstance(loaded.target, TaskFunction)
    assert loaded.target() == 5


def test_no_function_at_all_for_whole_objects() -> None:
    assert loader_with(packed(b"", kind=KIND_OBJECT)).load(3).target is None


def test_a_forgotten_or_unknown_function_is_a_fault() -> None:
    loader = loader_with(packed())
    loader.load(3)
    loader.forget(3)
    loader.forget(99)
    assert "function 3" in fault_of(loader).message


def test_a_redefined_number_is_the_new_function() -> None:
    loader = loader_with(packed())
    loader.load(3)
    other = packed(pickle.dumps(abs))
    loader.define_function(travelling.definition(3, other), other.blob)
    assert loader.load(3).target is abs


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "app:g"},
        {"kind": KIND_OBJECT},
        {"python": "3.99"},
        {"bundles": [b"0" * 16]},
        {"requirements": [Requirement("m", "d", "1")]},
        {"digest": b"1" * 16},
    ],
)
def test_only_what_matches_its_digest_is_accepted(changes: dict[str, Any]) -> None:
    function = packed()
    message = msgspec.structs.replace(travelling.definition(3, function), **changes)
    with pytest.raises(ProtocolError, match="digest"):
        FunctionLoader().define_function(message, function.blob)
    with pytest.raises(ProtocolError, match="digest"):
        FunctionLoader().define_function(travelling.definition(3, function), function.blob + b".")


def test_the_digest_is_of_everything() -> None:
    assert packed().digest == function_digest("app:f", KIND_CALL, packed().python, [], [], pickle.dumps(len))
    assert packed().digest != packed(name="app:g").digest


def test_another_python_is_named() -> None:
    fault = fault_of(loader_with(packed(python="3.99")))
    assert "3.99" in fault.message
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in fault.message
    assert "slave s1" in fault.message


def test_a_missing_package_is_named_with_its_version() -> None:
    fault = fault_of(loader_with(packed(requirements=[Requirement("zz", "zz-absent", "1.2.3")])))
    assert "zz-absent 1.2.3, which slave s1 does not have" in fault.message
    assert "pip install zz-absent==1.2.3" in fault.hint


def test_another_version_of_a_package_names_both() -> None:
    fault = fault_of(loader_with(packed(requirements=[Requirement("msgspec", "msgspec", "0.0.1")])))
    assert "msgspec 0.0.1" in fault.message
    assert msgspec.__version__ in fault.message
    assert "pip install msgspec==0.0.1" in fault.hint


def test_the_same_version_is_fine() -> None:
    function = packed(requirements=[Requirement("msgspec", "msgspec", msgspec.__version__)])
    assert loader_with(function).load(3).target is len


def test_an_absent_bundle_is_a_fault() -> None:
    bundle = bundle_of("zz_gone", "X = 1")
    assert bundle.digest.hex() in fault_of(loader_with(packed(bundles=[bundle]), bundles=False)).message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import zz_not_there", "No module named 'zz_not_there'"),
        ("raise ValueError('at import')", "ValueError: at import"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("f = = 1", "SyntaxError"),
        ("g = 1", "AttributeError"),
    ],
)
def test_an_error_while_importing_is_a_fault_with_its_traceback(source: str, words: str) -> None:
    bundle = bundle_of("zz_importing", source)
    function = packed(b"czz_importing\nf\n.", bundles=[bundle])
    loader = loader_with(function)
    try:
        fault = fault_of(loader)
    finally:
        sys.modules.pop("zz_importing", None)
        loader.importer.deactivate()
    assert words in fault.message
    assert "slave s1" in fault.message
    if "f =" not in source and "g =" not in source:
        first = fault.traceback.splitlines()[1]
        assert "zz_importing.py" in first
        assert source in fault.traceback
    if "zz_not_there" in source:
        assert "zz_not_there" in fault.hint


def test_loading_activates_the_functions_bundles_and_no_others() -> None:
    first, second = bundle_of("zz_same", "def f(): return 1"), bundle_of("zz_same", "def f(): return 2")
    blob = b"czz_same\nf\n."
    loader = loader_with(packed(blob, bundles=[first]))
    other = packed(blob, bundles=[second])
    loader.define_bundle(second.digest, second.blob)
    loader.define_function(travelling.definition(4, other), other.blob)
    try:
        for _ in range(2):
            assert loader.load(3).target() == 1
            assert sys.modules["zz_same"].f() == 1
            assert loader.load(4).target() == 2
            assert sys.modules["zz_same"].f() == 2
    finally:
        loader.importer.deactivate()
    assert "zz_same" not in sys.modules


def test_a_traceback_that_cannot_be_formatted_is_replaced() -> None:
    class Odd(Exception):
        @property
        def __cause__(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
            raise SystemExit

    with pytest.raises(Odd) as caught:
        raise Odd
    assert "Odd" in format_traceback(caught.value)


def test_a_bundle_is_dropped_with_the_last_function_that_needs_it() -> None:
    first, second = bundle_of("zz_kept", "def f(): return 1"), bundle_of("zz_dropped", "def f(): return 2")
    loader = loader_with(packed(b"czz_kept\nf\n.", bundles=[first]))
    for number in (4, 5):
        other = packed(b"czz_dropped\nf\n.", bundles=[second])
        loader.define_bundle(second.digest, second.blob)
        loader.define_function(travelling.definition(number, other), other.blob)
    try:
        assert loader.load(4).target() == 2
        module = sys.modules["zz_dropped"]
        loader.forget(4)
        assert loader.load(5).target() == 2
        assert sys.modules["zz_dropped"] is module
        loader.forget(5)
        assert "zz_dropped" not in sys.modules
        assert second.digest not in loader.importer
        assert first.digest in loader.importer
        assert loader.load(3).target() == 1
    finally:
        loader.importer.deactivate()
