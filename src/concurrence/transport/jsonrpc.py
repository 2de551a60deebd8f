"""JSON-RPC 2.0: from the bytes of a request to the bytes of its answer, with limits. Pure; knows no methods.

Our own, because the library that was tried, pjrpc 2.2, answers a batch with one invalid element by a single error
and runs nothing of it, against the specification's own examples; ends in RecursionError on deep JSON; writes
``Infinity``, which is no JSON; and takes 84 ms to import. msgspec reads and writes JSON for us anyway.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import msgspec

from concurrence.errors import ConcurrenceError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
FAILED = -32000
"""A method said that it failed: the code of every :class:`~concurrence.errors.ConcurrenceError`."""
TOO_LARGE = -32001
"""A result, or those of a batch together, exceed :data:`MAX_ANSWER_BYTES`."""
NO_ANSWER = -32002
"""The node that runs methods did not answer in time, or has too many calls to answer."""
FORBIDDEN = -32003
"""The caller's role may not call this method."""

MAX_BODY_BYTES = 1024 * 1024
MAX_BATCH = 100
MAX_DEPTH = 64
"""Lists and objects within each other, the request itself and its batch included."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""The results and errors of one answer together; what each element repeats of its request comes on top."""
MAX_ERROR_TEXT = 8_192

Params: TypeAlias = "list[Any] | dict[str, Any]"
Call: TypeAlias = "Callable[[str, Params], bytes]"
"""Runs a method, told its name and its parameters; returns its result as JSON, or raises :class:`RpcError`."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class RpcError(ConcurrenceError):
    """The caller's fault or the method's, as the code says: the error object of an answer.

    Args:
        code: One of the codes above.
        message: What went wrong.
        data: More of it, for programs; plain JSON values.
    """

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(clipped(message), hint=str((data or {}).get("hint", "")))
        self.code = code
        self.data = data

    def as_json(self) -> bytes:
        """The error object, within limits."""
        plain: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data:
            plain["data"] = {
                name: clipped(value) if isinstance(value, str) else value for name, value in self.data.items()
            }
        return _encode(plain)


def clipped(text: str, limit: int = MAX_ERROR_TEXT) -> str:
    """A text that can be sent: not too long, and without the halves of characters that file names may have."""
    short = text if len(text) <= limit else f"{text[:limit]}..."
    return short.encode("utf-8", "replace").decode("utf-8")


def answer(body: bytes | memoryview, call: Call) -> bytes | None:
    """Run what a body asks for, one after the other.

    Whatever the body is, this does not raise, unless ``call`` raises something else than it may.

    Args:
        body: A request or a batch of requests.
        call: Runs one method.

    Returns:
        One response or a list of them; None if there were notifications only.
    """
    try:
        content = read(body)
    except RpcError as error:
        return refusal(error)
    return run(content, call)


def refusal(error: RpcError) -> bytes:
    """The answer to a body that is refused as a whole."""
    return _Answer().failed(None, error)


def run(content: Any, call: Call) -> bytes | None:
    """Run what a body said; see :func:`answer`.

    Args:
        content: What :func:`read` returned.
        call: Runs one method.
    """
    replies = _Answer()
    if not isinstance(content, list):
        return replies.run(content, call)
    batch = cast("list[Any]", content)
    answers = [reply for element in batch if (reply := replies.run(element, call)) is not None]
    return b"[" + b",".join(answers) + b"]" if answers else None


def read(body: bytes | memoryview) -> Any:
    """What a body says, if it keeps the limits; the first half of :func:`answer`, which any thread may do.

    Raises:
        RpcError: It does not, or is no JSON.
    """
    raw = bytes(body) if len(body) <= MAX_BODY_BYTES else None
    if raw is None:
        raise RpcError(INVALID_REQUEST, f"a request of {len(body)} bytes; {MAX_BODY_BYTES} at most")
    try:
        content: Any = _decode(raw)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # msgspec's errors, and those of texts that are not UTF-8
        raise RpcError(PARSE_ERROR, f"the request is no JSON: {error}") from error
    # Where there are so few brackets nothing can be deep: that spares the walk.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and not _is_shallow(content):
        raise _too_deep()
    count = len(cast("list[Any]", content)) if isinstance(content, list) else 1
    if not 0 < count <= MAX_BATCH:
        raise RpcError(INVALID_REQUEST, f"a batch of {count} calls; from 1 to {MAX_BATCH} are allowed")
    # msgspec takes the last of equal keys, others the first: what one checks, another must not read differently.
    # Numbers do not matter here; Python refuses very long ones.
    json.loads(raw, object_pairs_hook=_refuse_duplicates, parse_int=len, parse_float=len)
    return cast("Any", content)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({name for name, _ in pairs}) < len(pairs):
        raise RpcError(INVALID_REQUEST, "an object of the request has the same key twice")


def _too_deep() -> RpcError:
    return RpcError(INVALID_REQUEST, f"the request is nested more than {MAX_DEPTH} levels deep")


def _is_shallow(content: Any) -> bool:
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(cast("dict[str, Any]", each).values())
            elif isinstance(each, list):
                below.extend(cast("list[Any]", each))
        level = [each for each in below if isinstance(each, (dict, list))]
        if not level:
            return True
    return False


class _Answer:
    """Makes the responses of one answer, and keeps them together within the limit."""

    def __init__(self) -> None:
        self._room = MAX_ANSWER_BYTES

    def run(self, element: Any, call: Call) -> bytes | None:
        """The response to one element of a batch, or to the only one; None for a notification."""
        if not isinstance(element, dict):
            return self.failed(None, RpcError(INVALID_REQUEST, "a request is an object"))
        request = cast("dict[str, Any]", element)
        number = request.get("id")
        has_good_id = number is None or (isinstance(number, (str, int, float)) and not isinstance(number, bool))
        problem = _problem(request) if has_good_id else "id is neither a string nor a number nor null"
        if problem:
            return self.failed(number if has_good_id else None, RpcError(INVALID_REQUEST, problem))
        try:
            result = call(request["method"], request.get("params", []))
        except RpcError as error:
            return self.failed(number, error) if "id" in request else None
        return self._response(number, b"result", result) if "id" in request else None

    def failed(self, number: Any, error: RpcError) -> bytes:
        """The response that tells an error."""
        return self._response(number, b"error", error.as_json())

    def _response(self, number: Any, kind: bytes, value: bytes) -> bytes:
        if len(value) > self._room:
            text = f"the result has {len(value)} bytes; {self._room} are left of {MAX_ANSWER_BYTES} for an answer"
            kind, value = b"error", RpcError(TOO_LARGE, text).as_json()
        else:
            self._room -= len(value)
        return b'{"jsonrpc":"2.0","%b":%b,"id":%b}' % (kind, value, _encode(number))


def _problem(request: dict[str, Any]) -> str:
    """What is wrong with a request; empty if nothing is."""
    if request.get("jsonrpc") != "2.0":
        return 'jsonrpc must be "2.0"'
    if not isinstance(request.get("method"), str):
        return "method must be a string"
    if "params" in request and not isinstance(request["params"], (list, dict)):
        return "params must be a list or an object"
    return ""
