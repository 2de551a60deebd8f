"""JSON-RPC 2.0: the examples of the specification one by one, the limits, and whatever JSON there is."""

from __future__ import annotations

import json
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rpc_examples import EXAMPLES, NAMES, NOTIFICATIONS, codes, failure, result

from concurrence.transport import jsonrpc
from concurrence.transport.jsonrpc import MAX_ANSWER_BYTES, MAX_BATCH, MAX_BODY_BYTES, MAX_DEPTH, RpcError


def is_number(value: Any) -> bool:
    return isinstance(value, int)


class Methods:
    """Those of the specification's examples."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def __call__(self, name: str, params: jsonrpc.Params) -> bytes:
        self.called.append(name)
        if name == "subtract":
            first, second = params if isinstance(params, list) else (params["minuend"], params["subtrahend"])
            return msgspec.json.encode(first - second)
        if name == "sum" and isinstance(params, list):
            return msgspec.json.encode(sum(filter(is_number, params)))
        if name == "get_data":
            return b'["hello",5]'
        if name == "large":
            return b'"%b"' % (b"x" * (MAX_ANSWER_BYTES // 3))
        if name in ("update", "notify_hello", "notify_sum"):
            return b"null"
        raise RpcError(jsonrpc.METHOD_NOT_FOUND, "Method not found")


def ask(body: bytes | str) -> Any:
    """The answer to a body; None if there is none."""
    answer = jsonrpc.answer(body.encode() if isinstance(body, str) else body, Methods())
    return None if answer is None else json.loads(answer)


def code_of(answer: Any) -> int:
    """The code of a single error; the response must be a whole one."""
    assert set(answer) == {"jsonrpc", "error", "id"}
    return answer["error"]["code"]


@pytest.mark.parametrize(("body", "expected"), EXAMPLES, ids=NAMES)
def test_the_examples_of_the_specification(body: str, expected: Any) -> None:
    answer = ask(body)
    assert (answer if answer is None else codes(answer)) == expected


def test_notifications_are_carried_out_in_order() -> None:
    methods = Methods()
    assert jsonrpc.answer(NOTIFICATIONS.encode(), methods) is None
    assert methods.called == ["notify_sum", "notify_hello"]


@pytest.mark.parametrize("number", ["null", '"a"', '""', "0", "-1", "1.5", "12345678901234567890123", '"\\u00e9"'])
def test_the_id_comes_back_as_it_was(number: str) -> None:
    assert ask(f'{{"jsonrpc": "2.0", "method": "get_data", "id": {number}}}')["id"] == json.loads(number)
    assert ask(f'{{"method": "get_data", "id": {number}}}')["id"] == json.loads(number)


@pytest.mark.parametrize("number", ["true", "[1]", "{}"])
def test_what_is_no_id_is_refused_without_one(number: str) -> None:
    methods = Methods()
    body = f'{{"jsonrpc": "2.0", "method": "get_data", "id": {number}}}'.encode()
    assert codes(json.loads(jsonrpc.answer(body, methods) or b"")) == failure(-32600)
    assert not methods.called


@pytest.mark.parametrize(
    "body",
    [
        '{"method": "get_data", "id": 1}',
        '{"jsonrpc": "1.0", "method": "get_data", "id": 1}',
        '{"jsonrpc": 2.0, "method": "get_data", "id": 1}',
        '{"jsonrpc": "2.0", "id": 1}',
        '{"jsonrpc": "2.0", "method": null, "id": 1}',
        '{"jsonrpc": "2.0", "method": "get_data", "params": null, "id": 1}',
        '{"jsonrpc": "2.0", "method": "get_data", "params": 1, "id": 1}',
    ],
)
def test_a_malformed_request_is_refused_under_its_id(body: str) -> None:
    assert codes(ask(body)) == failure(-32600, 1)


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b'"\xff"', b"NaN", b"[NaN]", b'"\\ud800"', b"1e400", b"\xef\xbb\xbf[]"]
)
def test_what_is_no_json_is_told_so(body: bytes) -> None:
    assert codes(ask(body)) == failure(-32700)


# --- limits ---


def request(value: str) -> str:
    return f'{{"jsonrpc": "2.0", "method": "get_data", "params": {value}, "id": 1}}'


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_depth(begin: str, end: str) -> None:
    inner = "[]" if begin == "[" else "{}"
    within = MAX_DEPTH - 2  # the request itself, and the innermost
    assert ask(request(begin * within + inner + end * within)) == result(["hello", 5], 1)
    within += 1
    assert codes(ask(request(begin * within + inner + end * within))) == failure(-32600)
    assert codes(ask(request(begin * 50_000 + inner + end * 50_000))) == failure(-32600)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert ask(request(f"[{','.join(['[[]]'] * 1_000)}]")) == result(["hello", 5], 1)


def test_the_size_of_a_request() -> None:
    empty = request('[""]')
    whole = request(f'["{"x" * (MAX_BODY_BYTES - len(empty))}"]')
    assert len(whole) == MAX_BODY_BYTES
    assert ask(whole) == result(["hello", 5], 1)
    assert codes(ask(whole + " ")) == failure(-32600)


def test_the_size_of_a_batch() -> None:
    one = '{"jsonrpc": "2.0", "method": "get_data", "id": 1}'
    assert len(ask(f"[{','.join([one] * MAX_BATCH)}]")) == MAX_BATCH
    assert codes(ask(f"[{','.join([one] * (MAX_BATCH + 1))}]")) == failure(-32600)


def test_the_size_of_an_answer() -> None:
    one = '{"jsonrpc": "2.0", "method": "large", "id": 1}'
    answer = jsonrpc.answer(f"[{','.join([one] * 4)}]".encode(), Methods())
    assert answer is not None
    assert len(answer) < MAX_ANSWER_BYTES + 2_000
    assert [code_of(each) if "error" in each else 0 for each in json.loads(answer)] == [
        0,
        0,
        jsonrpc.TOO_LARGE,
        -32001,
    ]


def test_errors_are_clipped_and_can_always_be_sent() -> None:
    def fails(name: str, params: jsonrpc.Params) -> bytes:
        raise RpcError(-32000, "\udc80" + "y" * 100_000, {"hint": "\udc80" * 100_000, "number": 3})

    answer = jsonrpc.answer(request("[]").encode(), fails)
    assert answer is not None
    assert len(answer) < 50_000
    assert json.loads(answer)["error"]["data"]["number"] == 3


# --- whatever there is ---

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=10)
    | st.sampled_from(["2.0", "get_data", "sum", "jsonrpc", "method", "id", "params"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["jsonrpc", "method", "params", "id", "x"]), inner, max_size=5)
    ),
    max_leaves=20,
)
LIKE_REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | JSON,
        "method": st.sampled_from(["get_data", "notify_sum", "nothing", ""]) | JSON,
        "params": st.lists(JSON, max_size=3) | st.dictionaries(st.text(max_size=3), JSON, max_size=2) | JSON,
        "id": st.integers() | st.text(max_size=3) | JSON,
    },
)
BODIES = JSON | LIKE_REQUESTS | st.lists(LIKE_REQUESTS | JSON, max_size=5)


def check_response(response: Any) -> None:
    response = cast("dict[str, Any]", response)
    assert response["jsonrpc"] == "2.0"
    assert set(response) in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})
    assert response["id"] is None or isinstance(response["id"], (str, int, float))
    if "error" in response:
        assert isinstance(response["error"]["code"], int)
        assert isinstance(response["error"]["message"], str)


def check(body: bytes) -> None:
    answer = jsonrpc.answer(body, Methods())
    if answer is None:
        return
    decoded: Any = json.loads(answer)
    responses = cast("list[Any]", decoded if isinstance(decoded, list) else [decoded])
    assert responses
    for response in responses:
        check_response(response)


@settings(deadline=None)
@given(BODIES)
def test_every_json_has_a_valid_answer_or_none(body: Any) -> None:
    check(json.dumps(body).encode("utf-8", "surrogatepass"))
    check(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@settings(deadline=None)
@given(st.lists(LIKE_REQUESTS, min_size=1, max_size=6))
def test_as_many_answers_as_requests_that_are_no_notifications(batch: list[dict[str, Any]]) -> None:
    methods = Methods()
    answer = jsonrpc.answer(json.dumps(batch).encode(), methods)
    answers: list[Any] = [] if answer is None else json.loads(answer)
    # What is malformed is answered even without an id; what is whole is a notification without.
    assert len(answers) == len(batch) - sum("id" not in each and is_whole(each) for each in batch)


def is_whole(each: dict[str, Any]) -> bool:
    return (
        each.get("jsonrpc") == "2.0"
        and isinstance(each.get("method"), str)
        and isinstance(each.get("params", []), (list, dict))
    )


@settings(deadline=None)
@given(st.binary(max_size=50))
def test_every_body_has_a_valid_answer_or_none(body: bytes) -> None:
    check(body)


@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc": "2.0", "method": "get_data", "method": "foobar", "id": 1}',
        '{"jsonrpc": "2.0", "method": "get_data", "params": [{"a": {"b": 1, "b": 1}}], "id": 1}',
        '[{"jsonrpc": "2.0", "method": "get_data", "id": 1, "id": 2}]',
        '{"jsonrpc": "2.0", "method": "get_data", "\\u0069d": 1, "id": 2}',
    ],
)
def test_the_same_key_twice_is_refused_before_anything_is_done(body: str) -> None:
    methods = Methods()
    answer = json.loads(jsonrpc.answer(body.encode(), methods) or b"")
    assert codes(answer) == failure(-32600)
    assert "twice" in answer["error"]["message"]
    assert not methods.called


def test_long_numbers_do_no_harm() -> None:
    assert ask(request(f"[1{'0' * 300}, 0.{'1' * 5_000}]"))["result"] == ["hello", 5]
