"""The page of methods, from the OpenRPC description that a master and a slave give of themselves."""

from __future__ import annotations

import json
import time
from typing import Any

from concurrence.env.environment import Environment
from concurrence.nodes.api_methods import BuiltInMethods
from concurrence.nodes.master import MasterNode
from concurrence.nodes.openrpc import openrpc, read_doc
from concurrence.nodes.slave_pages import SlavePages, SlaveState
from concurrence.scheduling.core import MasterCore
from concurrence.telemetry.stats import Stats
from concurrence.transport.remote import ApiService
from concurrence.transport.security import KeyRing
from concurrence.transport.standalone import open_transport
from concurrence.transport.tokens import Sessions
from concurrence.version import __version__
from tools.reference.text import plain, slug

_INTRO = """\
The methods that every master has, and below those of slaves; plug-ins add more, and `concurrence call --list`
names all that your master has. How to call them, over HTTP too, and how to add one: [the API](../api.md).

`admin` may call everything; who else may is said. Values are those of JSON, and `text[]` is a list of texts.
`rpc.discover` gives the same as an [OpenRPC](https://open-rpc.org) document with JSON schemas.
"""
_ERRORS_INTRO = """\
Every call can fail with these codes, and with those of JSON-RPC itself: -32700 for what is no JSON, -32600 for
what is no request, -32601 for a method that is not there.
"""
_FAILED = """\
-32000: the method itself refused or failed. `data` has the `type` of the error, as named with each method, its
`message` and a `hint`, what to do.
"""
_TYPES_INTRO = "What results and parameters are made of."
_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}

EXAMPLES: dict[str, dict[str, Any]] = {
    "api.list": {},
    "cancel": {"targets": ["0c8d2a41/42"]},
    "config.get": {"key": "masternode.lease"},
    "config.reload": {},
    "drain": {"slave": "attic", "stop": True},
    "drain.state": {"slave": "attic"},
    "explain": {"task": "0c8d2a41/42"},
    "heartbeat": {"node_id": "probe-1"},
    "jobs": {"ended": True},
    "logs": {"job": "0c8d2a41", "after": 17},
    "nodes": {},
    "page.open": {},
    "ping": {},
    "register_client": {"node_id": "probe-1", "data": {"purpose": "tests"}},
    "register_slave": {"node_id": "probe-2", "port": 7801},
    "registered": {},
    "resume": {"slave": "attic"},
    "rpc.discover": {},
    "stats": {},
    "status": {},
    "systems": {},
    "top": {},
    "unregister": {"node_id": "probe-1"},
    "version": {},
}
"""What each method is called with in its example."""


def master_service(environment: Environment) -> ApiService:
    """The methods of a master that is not started.

    Args:
        environment: Has the built-in components.
    """
    master = environment.component(MasterNode)
    core = MasterCore(
        master.task_scheduler, master.limits(), master="master", package=__version__, new_ticket=lambda: ""
    )
    transport = open_transport("memory")
    server = transport.server("tcp://127.0.0.1:0", KeyRing.create())
    try:
        master.open_remotes(server)
    finally:
        server.close()
        transport.close()
        master.reactor.close()
    service = master.api_service_v1
    built_in = BuiltInMethods(
        core, environment, Stats(), time.monotonic, lambda _: None, Sessions(time.time), lambda: ""
    )
    built_in.register(service)
    return service


def slave_service() -> ApiService:
    """The methods of a slave that is not started."""
    service = ApiService()
    SlavePages(lambda: SlaveState("", "", "", False, False, 0, 0), Stats(), time.monotonic).register(service)
    return service


def methods_markdown(environment: Environment) -> str:
    """The page.

    Args:
        environment: Has the built-in components.
    """
    described = openrpc(master_service(environment))
    methods: list[dict[str, Any]] = described["methods"]
    lines = ["# Methods", "", _INTRO, "| method | what it does | who, besides `admin` |", "|---|---|---|"]
    lines += [_row(method) for method in methods]
    lines += ["", "## Methods of masters", ""]
    for method in methods:
        lines += _method(method)
    lines += ["## Methods of slaves", "", *_of_slaves(), ""]
    lines += ["## Errors", "", _ERRORS_INTRO, *_errors(described["components"]["errors"]), "", _FAILED]
    lines += ["## Types", "", _TYPES_INTRO, ""]
    for name, schema in sorted(described["components"]["schemas"].items()):
        lines += _type(name, schema)
    return "\n".join(lines).rstrip() + "\n"


def _row(method: dict[str, Any]) -> str:
    return f"| [`{method['name']}`](#{slug(method['name'])}) | {plain(method['summary'])} | {_others(method)} |"


def _others(method: dict[str, Any]) -> str:
    return ", ".join(f"`{role}`" for role in method["x-roles"] if role != "admin")


def _method(method: dict[str, Any]) -> list[str]:
    name = method["name"]
    lines = [f"### {name}", "", *(plain(line) for line in method["description"].splitlines()), ""]
    if method["params"]:
        lines += ["| parameter | type | default | |", "|---|---|---|---|", *map(_parameter, method["params"]), ""]
    result = method["result"]
    said = plain(result.get("description", ""))
    lines += [f"- Result: {_typed(result['schema'])}" + (f". {said}" if said else "")]
    others = _others(method)
    lines += [f"- Roles: `admin`{f', {others}' if others else ''}"]
    failures = [error for error in method["errors"] if "data" in error]
    for error in failures:
        lines += [f"- `{kind}`: {plain(text)}" for kind, text in error["data"].items()]
    return [*lines, "", "```text", f"$ {example(name)}", "```", ""]


def example(name: str) -> str:
    """How a method is called on the command line."""
    words = [f"{key}={_written(value)}" for key, value in EXAMPLES[name].items()]
    return " ".join(["concurrence call", name, *words])


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    text = json.dumps(value)
    return f"'{text}'" if '"' in text or " " in text else text


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    default = "" if parameter["required"] else f"`{json.dumps(schema.get('default'))}`"
    cells = [f"`{parameter['name']}`", _typed(schema), default, plain(parameter.get("description", ""))]
    return "|".join(["", *(f" {cell} " if cell else " " for cell in cells), ""])


def _typed(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{slug(name)})"
    if "anyOf" in schema:
        return " or ".join(_typed(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"{_typed(schema.get('items', {}))}[]"
        case "object":
            values: dict[str, Any] = schema.get("additionalProperties") or {}
            return f"object of {_typed(values)} by name" if values else "object"
        case str(kind):
            return _WORDS[kind]
        case _:
            return "anything"


def _of_slaves() -> list[str]:
    described = openrpc(slave_service())["methods"]
    lines = [
        "A slave has methods if it has an HTTP port (`[api] enabled`). Those that masters have too do the same.",
        "",
    ]
    lines += ["| method | what it does | who, besides `admin` |", "|---|---|---|"]
    return lines + [f"| `{each['name']}` | {plain(each['summary'])} | {_others(each)} |" for each in described]


def _errors(errors: dict[str, dict[str, Any]]) -> list[str]:
    rows = [f"| {each['code']} | `{name}` | {each['message']} |" for name, each in errors.items()]
    return ["| code | name | when |", "|---|---|---|", *rows]


def _type(name: str, schema: dict[str, Any]) -> list[str]:
    doc = read_doc(schema.get("description", ""))
    rows = [
        f"| `{key}` | {_typed(kind)} | {plain(doc.parameters.get(key, ''))} |"
        for key, kind in schema["properties"].items()
    ]
    return [f"### {name}", "", plain(doc.description), "", "| field | type | |", "|---|---|---|", *rows, ""]
