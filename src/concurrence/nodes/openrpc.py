"""How the methods of an API are described as OpenRPC has it: from signatures, types and docstrings. Pure."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from concurrence.transport import jsonrpc
from concurrence.transport.remote import ApiMethod, ApiParameter, ApiService

_VERSION = "1.3.2"
_SCHEMAS = "#/components/schemas/{name}"
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):$", re.MULTILINE)
_ITEM = re.compile(r"^(?P<name>\w+): (?P<text>.*)$")
_FAILED = "The method said why it failed; data.type is the name of the error, data.hint what to do."
_ERRORS = {
    "InvalidParams": (jsonrpc.INVALID_PARAMS, "A parameter is missing, unknown, or of the wrong type."),
    "InternalError": (jsonrpc.INTERNAL_ERROR, "The method is broken; the log of the node says how."),
    "Forbidden": (jsonrpc.FORBIDDEN, "The caller's role may not call this method."),
    "TooLarge": (jsonrpc.TOO_LARGE, "The result exceeds what fits into one answer."),
    "NoAnswer": (jsonrpc.NO_ANSWER, "The node did not answer in time, or has too many calls to answer."),
}


@dataclass(frozen=True, slots=True)
class Doc:
    """A docstring, taken apart.

    Attributes:
        summary: Its first line.
        description: All that stands before its sections.
        parameters: What is said of each parameter; of a type, of each attribute.
        result: What is said of the result.
        errors: What is said of each error.
    """

    summary: str = ""
    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    result: str = ""
    errors: dict[str, str] = field(default_factory=dict[str, str])


def read_doc(doc: str) -> Doc:
    """Take a docstring apart: its text, and the sections ``Args`` or ``Attributes``, ``Returns`` and ``Raises``.

    Args:
        doc: The docstring, without indentation.
    """
    description, *rest = (part.strip("\n") for part in _SECTION.split(doc))
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    return Doc(
        doc.partition("\n")[0],
        description.strip(),
        dict(_items(sections.get("Args", sections.get("Attributes", "")))),
        " ".join(inspect.cleandoc(sections.get("Returns", "")).split()),
        dict(_items(sections.get("Raises", ""))),
    )


def _items(section: str) -> Iterator[tuple[str, str]]:
    """``name: text`` at the left, and further lines of the text indented below it."""
    name, words = "", list[str]()
    for line in inspect.cleandoc(f"\n{section}").splitlines():
        found = _ITEM.match(line)
        if found:
            if name:
                yield name, " ".join(words)
            name, words = found["name"], [found["text"]]
        else:
            words.append(line.strip())
    if name:
        yield name, " ".join(words)


def openrpc(service: ApiService) -> dict[str, Any]:
    """The description of an API as OpenRPC has it: methods, parameters, results, errors, and the types of all.

    Who may call a method stands in ``x-roles``.

    Args:
        service: The API.
    """
    kinds: list[Any] = []
    for method in service.methods:
        kinds += [*(each.type for each in method.parameters), method.result]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_SCHEMAS)
    remaining = iter(schemas)
    errors = {name: {"code": code, "message": message} for name, (code, message) in _ERRORS.items()}
    return {
        "openrpc": _VERSION,
        "info": {"title": "Concurrent", "version": str(service.version)},
        "methods": [_method(method, remaining) for method in service.methods],
        "components": {"schemas": components, "errors": errors},
    }


def _method(method: ApiMethod, schemas: Iterator[dict[str, Any]]) -> dict[str, Any]:
    doc = read_doc(method.doc)
    # The parameters first: the schemas come in this order.
    parameters = [_parameter(each, next(schemas), doc) for each in method.parameters]
    result = _described({"name": "result", "schema": next(schemas)}, doc.result)
    errors: list[dict[str, Any]] = [{"$ref": f"#/components/errors/{name}"} for name in _ERRORS]
    if doc.errors:
        errors.insert(0, {"code": jsonrpc.FAILED, "message": _FAILED, "data": doc.errors})
    return {
        "name": method.name,
        "summary": doc.summary,
        "description": doc.description,
        "params": parameters,
        "result": result,
        "errors": errors,
        "x-roles": sorted({"admin", *method.roles}),
    }


def _parameter(parameter: ApiParameter, schema: dict[str, Any], doc: Doc) -> dict[str, Any]:
    if not parameter.required:
        schema = {**schema, "default": json_of(parameter.default)}
    described = {"name": parameter.name, "required": parameter.required, "schema": schema}
    return _described(described, doc.parameters.get(parameter.name, ""))


def _described(what: dict[str, Any], text: str) -> dict[str, Any]:
    return {**what, "description": text} if text else what


def json_of(value: Any) -> Any:
    """A default as JSON has it; what JSON lacks as text."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        return repr(value)
