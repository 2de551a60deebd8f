"""The examples of the JSON-RPC 2.0 specification, and what must be answered: for every door that the API has."""

from __future__ import annotations

from typing import Any, cast


def failure(code: int, number: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": code, "id": number}


def result(value: Any, number: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": value, "id": number}


def codes(answer: Any) -> Any:
    """An answer in which errors are only their codes: the texts are ours."""
    if isinstance(answer, list):
        return [codes(each) for each in cast("list[Any]", answer)]
    return {**answer, "error": answer["error"]["code"]} if "error" in answer else answer


MIXED = """[
    {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
    {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
    {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
    {"foo": "boo"},
    {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
    {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
]"""
MIXED_ANSWER = [
    result(7, "1"),
    result(19, "2"),
    failure(-32600),
    failure(-32601, "5"),
    result(["hello", 5], "9"),
]
BROKEN_BATCH = """[
    {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
    {"jsonrpc": "2.0", "method"
]"""
NAMED = '{"jsonrpc": "2.0", "method": "subtract", "params": %s, "id": %d}'
NOTIFICATIONS = """[
    {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
    {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
]"""

EXAMPLES: list[tuple[str, Any]] = [
    ('{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}', result(19, 1)),
    ('{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}', result(-19, 2)),
    (NAMED % ('{"subtrahend": 23, "minuend": 42}', 3), result(19, 3)),
    (NAMED % ('{"minuend": 42, "subtrahend": 23}', 4), result(19, 4)),
    ('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None),
    ('{"jsonrpc": "2.0", "method": "foobar"}', None),
    ('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', failure(-32601, "1")),
    ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', failure(-32700)),
    ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', failure(-32600)),
    (BROKEN_BATCH, failure(-32700)),
    ("[]", failure(-32600)),
    ("[1]", [failure(-32600)]),
    ("[1,2,3]", [failure(-32600)] * 3),
    (MIXED, MIXED_ANSWER),
    (NOTIFICATIONS, None),
]
NAMES = [
    *("positional 1", "positional 2", "named 1", "named 2", "notification", "notification of no method"),
    *("no method", "broken", "no request", "broken batch", "empty batch", "a batch of 1", "a batch of 3"),
    *("mixed batch", "notifications"),
]
