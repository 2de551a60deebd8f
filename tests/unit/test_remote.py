"""Methods of an API: what can be offered, how parameters are checked, and what errors tell."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concurrence.clock import VirtualClock
from concurrence.component import Component, ComponentManager
from concurrence.errors import TaskError, UsageError
from concurrence.nodes.api import IApiMethods, NodeType
from concurrence.nodes.api_door import ApiDoor
from concurrence.nodes.openrpc import openrpc
from concurrence.telemetry.stats import Stats
from concurrence.transport.remote import SLOW_SECONDS, ApiRequest, ApiService, jsonremote
from concurrence.transport.security import Role

CALLER = ApiRequest("192.0.2.7", Role.ADMIN, "a key", "somebody")


@dataclass
class Point:
    x: float
    y: float = 0.0


def ask(service: ApiService, method: str, params: Any = ()) -> dict[str, Any]:
    body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode()
    answer = service.answer(body, CALLER)
    assert answer is not None
    return json.loads(answer)


def result_of(service: ApiService, method: str, params: Any = ()) -> Any:
    answer = ask(service, method, params)
    assert "error" not in answer, answer
    return answer["result"]


def error_of(service: ApiService, method: str, params: Any = ()) -> dict[str, Any]:
    answer = ask(service, method, params)
    assert "result" not in answer, answer
    return answer["error"]


def says(value: Any) -> Callable[[ApiRequest], Any]:
    """A method with one result."""

    def say(request: ApiRequest) -> Any:
        return value

    return say


# --- calling ---


OF_THE_TALK = """
@jsonremote(self.api_service_v1)
def register_slave(request, node_id, port, data):
    self.stats.add_avg('register_slave')
    return self.register_node(node_id, request.address, port, data, NodeType.SLAVE)
"""


class Master:
    def __init__(self) -> None:
        self.stats = Stats()
        self.api_service_v1 = ApiService(version=1)

    def register_node(self, *given: Any) -> tuple[Any, ...]:
        return given


def test_as_in_the_talk() -> None:
    master = Master()
    exec(OF_THE_TALK, {"self": master, "jsonremote": jsonremote, "NodeType": NodeType})
    expected = ["n1", "192.0.2.7", 7, [1], "slave"]
    assert result_of(master.api_service_v1, "register_slave", ["n1", 7, [1]]) == expected
    named = {"data": [1], "port": 7, "node_id": "n1"}
    assert result_of(master.api_service_v1, "register_slave", named) == expected
    assert master.stats.snapshot()["register_slave"].values == 2


def offered() -> ApiService:
    service = ApiService()

    @jsonremote(service, name="shapes.move")
    def move(
        request: ApiRequest, point: Point, by: Literal["x", "y"] = "x", *, steps: int | None = None
    ) -> dict[str, Any]:
        """Move a point."""
        return {"x": point.x + (steps or 1), "by": by, "who": request.role}

    return service


def test_types_are_converted_and_defaults_used() -> None:
    service = offered()
    assert result_of(service, "shapes.move", [{"x": 1}]) == {"x": 2.0, "by": "x", "who": "admin"}
    named = {"point": {"x": 1.5, "y": 2}, "steps": 3, "by": "y"}
    assert result_of(service, "shapes.move", named) == {"x": 4.5, "by": "y", "who": "admin"}


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ([], "lacks point"),
        ({"by": "x"}, "lacks point"),
        ([{"x": 1}, "x", 3], "takes 2 parameters by position at most, not 3"),
        ({"point": {"x": 1}, "step": 3}, "has no parameter 'step'"),
        ({"point": {"x": 1}, "request": {}}, "has no parameter 'request'"),
        ([{"x": "1"}], "as point: Expected `float`, got `str` - at `$.x`"),
        ([{"y": 1}], "as point: Object missing required field `x`"),
        ([{"x": 1}, "z"], "as by: Invalid enum value 'z'"),
        ({"point": {"x": 1}, "steps": True}, "as steps: Expected `int | null`, got `bool`"),
    ],
)
def test_wrong_parameters_are_named(params: Any, told: str) -> None:
    error = error_of(offered(), "shapes.move", params)
    assert error["code"] == -32602
    assert told in error["message"]
    assert "It is shapes.move(point: Point, by: Literal" in error["data"]["hint"]


def test_the_nearest_name_is_told() -> None:
    service = offered()
    error = error_of(service, "shapes.mov")
    assert (error["code"], error["data"]["hint"]) == (-32601, "Did you mean 'shapes.move'?")
    assert "Did you mean 'steps'?" in error_of(service, "shapes.move", {"step": 3})["data"]["hint"]
    assert len(json.dumps(error_of(service, "x" * 500_000))) < 1_000


# --- errors ---


def failing(error: BaseException) -> ApiService:
    service = ApiService(log=logging.getLogger("test.api"))

    @jsonremote(service)
    def fail(request: ApiRequest) -> None:
        raise error

    return service


def test_our_errors_carry_message_and_hint() -> None:
    error = error_of(failing(TaskError("it broke", hint="mend it")), "fail")
    assert error["code"] == -32000
    assert error["message"] == "it broke"
    assert error["data"] == {"type": "TaskError", "message": "it broke", "hint": "mend it"}


@pytest.mark.parametrize(
    "error", [ValueError("a secret"), SystemExit(3), asyncio.CancelledError(), MemoryError(), RecursionError()]
)
def test_other_errors_are_logged_and_not_leaked(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    answer = error_of(failing(error), "fail")
    assert answer["code"] == -32603
    assert "secret" not in json.dumps(answer)
    assert type(error).__name__ not in json.dumps(answer)
    (record,) = caplog.records
    assert "the API method fail at " in record.message
    assert "test_remote.py" in record.message
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_an_interrupt_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(failing(KeyboardInterrupt()), "fail")


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", [object(), {(1, 2): 3}, "\udc80", cyclic()], ids=["object", "key", "text", "cycle"]
)
def test_a_result_that_is_no_json_is_the_methods_fault(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    service = ApiService()
    service.add(says(value), "strange")
    assert error_of(service, "strange")["code"] == -32603
    assert "strange" in caplog.text


def test_a_failing_notification_is_logged_and_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    service = failing(ValueError("no"))
    assert service.answer(b'{"jsonrpc": "2.0", "method": "fail"}', CALLER) is None
    assert "ValueError: no" in caplog.text


@pytest.mark.parametrize("fails", [False, True])
def test_a_slow_method_is_named_in_the_log(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    service = ApiService(now=clock.now)

    @jsonremote(service)
    def work(request: ApiRequest, seconds: float) -> None:
        clock.advance(seconds)
        if fails:
            raise UsageError("too late")

    ask(service, "work", [SLOW_SECONDS / 2])
    assert not caplog.records
    ask(service, "work", [SLOW_SECONDS * 2])
    assert "the API method work at " in caplog.text
    assert "took 0.20 s" in caplog.text


# --- offering ---


def refused(function: Callable[..., Any], name: str | None = None) -> UsageError:
    service = ApiService()
    with pytest.raises(UsageError) as caught:
        service.add(function, name)
    assert not service.methods
    return caught.value


def test_a_name_is_offered_once_and_both_places_are_told() -> None:
    service = offered()
    with pytest.raises(UsageError, match=r"shapes\.move is offered twice") as caught:
        service.add(says(None), "shapes.move")
    assert caught.value.message.count("test_remote.py:") == 2


@pytest.mark.parametrize("name", ["", "1a", "a b", "a.", ".a", "rpc.x", "x" * 65, "é", "<lambda>", "a\n"])
def test_odd_names_are_refused(name: str) -> None:
    assert "is no name for an API method" in refused(says(1), name or "-").message
    assert "'<lambda>'" in refused(lambda: None).message


def test_what_cannot_be_called_so_is_refused() -> None:
    def nothing() -> None: ...
    def many(request: ApiRequest, *values: int) -> None: ...
    def anything(request: ApiRequest, **values: int) -> None: ...
    def by_position(request: ApiRequest, value: int, /) -> None: ...
    def strange(request: ApiRequest, value: logging.Logger) -> None: ...
    async def later(request: ApiRequest) -> None: ...
    def each(request: ApiRequest) -> Iterator[int]:
        yield 1

    assert "lacks its first parameter" in refused(nothing).message
    assert "*values" in refused(many).message
    assert "**values" in refused(anything).message
    assert "value: 'int' cannot be given by name" in refused(by_position).message
    assert "the type of value, Missing, is none" in refused(written("value: Missing", "")).message
    assert "the type of value, logging.Logger, is none" in refused(strange).message
    assert "coroutine or generator" in refused(later).message
    assert "coroutine or generator" in refused(each).message


def test_the_service_is_not_forgotten() -> None:
    with pytest.raises(UsageError, match="needs an ApiService"):
        jsonremote(cast("Any", says(None)))


def test_types_are_found_where_the_function_stands() -> None:
    class Local(msgspec.Struct):
        value: int

    service = ApiService()

    @jsonremote(service)
    def double(request: ApiRequest, local: Local) -> int:
        assert isinstance(local, Local)
        return local.value * 2

    assert result_of(service, "double", [{"value": 4}]) == 8


def test_only_the_types_of_parameters_must_exist() -> None:
    service = ApiService()
    service.add(written("value: int", "Missing"))
    assert result_of(service, "function", [4]) == 4


def written(parameter: str, result: str) -> Callable[..., Any]:
    """A function with annotations that stay text."""
    arrow = (
        f" -> {result}" if result else ""
    )  # text all the same: this module's way with annotations holds in exec
    name, _, kind = parameter.partition(": ")
    space: dict[str, Any] = {}
    exec(f"def function(request: Missing, {name}: {kind}){arrow}: return {name}", space)
    return space["function"]


def test_methods_of_objects_and_wrapped_functions() -> None:
    class Holder:
        def get(self, request: ApiRequest, point: Point) -> float:
            return point.x

    def doubled(function: Callable[..., float]) -> Callable[..., float]:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> float:
            return 2 * function(*args, **kwargs)

        return inner

    service = ApiService()
    service.add(Holder().get)
    service.add(doubled(Holder().get), "twice")
    assert result_of(service, "get", [{"x": 3}]) == 3.0
    assert result_of(service, "twice", {"point": {"x": 3}}) == 6.0


def test_all_or_none() -> None:
    service = offered()

    def half() -> None:
        with service.all_or_none():
            service.add(says(1), "one")
            raise LookupError

    with pytest.raises(LookupError):
        half()
    assert [method.name for method in service.methods] == ["shapes.move"]
    with service.all_or_none():
        service.add(says(1), "one")
    assert result_of(service, "one") == 1


def test_components_that_fail_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    class Unmade(Component, IApiMethods):
        def __init__(self, manager: ComponentManager) -> None:
            raise OSError("no disk")

        def register_api(self, service: ApiService) -> None: ...

    class Thief(Component, IApiMethods):
        def register_api(self, service: ApiService) -> None:
            service.add(says("mine"), "mine")
            service.add(says("stolen"), "ping")

    class Quitter(Component, IApiMethods):
        def register_api(self, service: ApiService) -> None:
            raise SystemExit

    class Good(Component, IApiMethods):
        def register_api(self, service: ApiService) -> None:
            service.add(says("good"), "good")

    def pings(service: ApiService) -> None:
        service.add(says("pong"), "ping")

    manager = ComponentManager()
    for cls in (Unmade, Thief, Quitter, Good):
        manager.register(cls)
    door = ApiDoor(logging.getLogger("test.door"), Stats())
    door.open(pings, manager)
    assert [method.name for method in door.service.methods] == ["good", "ping"]
    assert result_of(door.service, "ping") == "pong"
    for cls, reason in ((Unmade, "no disk"), (Thief, "ping is offered twice"), (Quitter, "SystemExit")):
        assert any(cls.__qualname__ in each.message and reason in each.message for each in caplog.records)


# --- descriptions ---


def test_openrpc_has_the_schemas_of_the_types() -> None:
    described = openrpc(offered())
    (method,) = described["methods"]
    assert (method["name"], method["summary"]) == ("shapes.move", "Move a point.")
    point, by, steps = method["params"]
    assert point == {"name": "point", "required": True, "schema": {"$ref": "#/components/schemas/Point"}}
    assert by == {"name": "by", "required": False, "schema": {"enum": ["x", "y"], "default": "x"}}
    assert steps["schema"]["default"] is None
    assert described["components"]["schemas"]["Point"]["required"] == ["x"]
    json.dumps(described)


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@settings(deadline=None)
@given(
    st.sampled_from(["shapes.move", "shapes", ""]) | st.text(),
    st.lists(VALUES | st.dictionaries(st.sampled_from(["x", "y"]), VALUES))
    | st.dictionaries(st.sampled_from(["point", "by", "steps"]) | st.text(), VALUES),
)
def test_no_parameters_make_it_raise(name: str, params: Any) -> None:
    body = msgspec.json.encode({"jsonrpc": "2.0", "method": name, "params": params, "id": 1})
    answer = json.loads(offered().answer(body, CALLER) or b"")
    assert answer.get("error", {}).get("code", -32602) in (-32601, -32602)


class Place(msgspec.Struct):
    """Where something is."""

    street: str


def test_openrpc_tells_results_errors_and_roles() -> None:
    service = ApiService()

    @jsonremote(service, roles=("client",))
    def place(request: ApiRequest, name: str, near: bool = False) -> list[Place]:
        """Find a place.

        It looks everywhere.

        Args:
            name: What it is called; the first
                of several counts.

        Returns:
            The nearest
            first.

        Raises:
            NotFound: It is nowhere.
        """
        return []

    @jsonremote(service)
    def odd(request: ApiRequest) -> ApiService:
        """Return what cannot be described."""
        return service

    described = openrpc(service)
    other, method = described["methods"]
    assert method["description"] == "Find a place.\n\nIt looks everywhere."
    name, near = method["params"]
    assert name["description"] == "What it is called; the first of several counts."
    assert "description" not in near
    assert method["result"] == {
        "name": "result",
        "description": "The nearest first.",
        "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Place"}},
    }
    assert method["errors"][0]["data"] == {"NotFound": "It is nowhere."}
    assert method["x-roles"] == ["admin", "client"]
    assert {"$ref": "#/components/errors/Forbidden"} in method["errors"]
    assert described["components"]["errors"]["Forbidden"]["code"] == -32003
    assert other["result"]["schema"] == {}
    assert other["x-roles"] == ["admin"]
