"""``concurrence call``: methods of a master's API, on the compute channel."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from concurrence.cli.failures import note_broken, report
from concurrence.cli.options import EnvOption, MasterOption, examples

if TYPE_CHECKING:
    from collections.abc import Iterator

EPILOG = examples(
    "concurrence call --list --env swarm",
    "concurrence call config.get key=masternode.lease",
    "concurrence call hello name=Ada --master admin.toml",
    'concurrence call hello --params \'{"name": "Ada"}\' --json',
)
TIMEOUT = 60.0
"""Seconds to wait for the answer; for the connection it is five."""

_STDIN = "-"


def call(
    method: Annotated[
        str | None, typer.Argument(help="The method, as --list names it.", show_default=False)
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...", help="Its parameters; a value is JSON, or else text.", show_default=False
        ),
    ] = None,
    params: Annotated[
        str | None,
        typer.Option(
            "--params",
            metavar="JSON",
            help="All parameters, as a list or an object; without METHOD a whole JSON-RPC request or batch. "
            "- reads standard input.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")] = False,
    as_list: Annotated[bool, typer.Option("--list", help="List the methods and what they do.")] = False,
    master: MasterOption = None,
    env: EnvOption = None,
) -> int:
    """Call a method of the API of a master; this takes a connect file of an administrator."""
    from concurrence.errors import UsageError

    if as_list:
        if method is not None or params is not None:
            raise UsageError("--list takes neither a method nor parameters")
        method = "api.list"
    if method is None:
        if params is None:
            raise UsageError("no method is named", hint="See which there are: concurrence call --list")
        return _send(_json(params), master, env)
    request = {"jsonrpc": "2.0", "method": method, "params": parameters_of(arguments or [], params), "id": 1}
    answer = cast("dict[str, Any]", _exchange(request, master, env))
    if "error" in answer:
        return _failed(answer["error"])
    result: Any = answer["result"]
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        for line in methods_lines(result) if as_list else lines_of(result):
            print(printable(line))
    return 0


def _send(request: Any, master: Path | None, env: Path | None) -> int:
    """Send a request as it is, and print the answer as it is: 1 if there is an error in it."""
    answer = _exchange(request, master, env)
    if answer is None:
        return 0  # nothing but notifications
    print(json.dumps(answer, indent=2))
    answers = cast("list[dict[str, Any]]", answer if isinstance(answer, list) else [answer])
    return 1 if any("error" in each for each in answers) else 0


def _exchange(request: Any, master: Path | None, env: Path | None) -> Any:
    """The answer of the master to a request; None if it sends none."""
    from concurrence.cli.asking import admin_credentials, transport_of
    from concurrence.env.log import configure_logging
    from concurrence.nodes.calling import call_api
    from concurrence.nodes.running import open_environment

    configure_logging("CRITICAL")  # plug-ins that fail are told of in a line
    with open_environment(env) as environment:
        note_broken(environment.plugin_failures)
        credentials = admin_credentials(environment, master, "call")
        body = json.dumps(request, separators=(",", ":")).encode()
        answer = call_api(transport_of(environment), credentials, body, TIMEOUT)
    return None if answer is None else json.loads(answer)


def _failed(error: dict[str, Any]) -> int:
    data = error.get("data")
    hint = cast("dict[str, Any]", data).get("hint", "") if isinstance(data, dict) else ""
    report(printable(str(error.get("message", ""))), printable(str(hint)))
    return 1


def parameters_of(arguments: list[str], params: str | None = None) -> Any:
    """The parameters of a call, as NAME=VALUE or as JSON.

    Args:
        arguments: Those that have the form NAME=VALUE.
        params: All of them as JSON, instead.

    Raises:
        UsageError: They cannot be understood, or are given in both ways.
    """
    from concurrence.errors import UsageError

    if params is not None:
        if arguments:
            raise UsageError("NAME=VALUE and --params exclude each other")
        values = _json(params)
        if not isinstance(values, (list, dict)):
            raise UsageError(f"--params {params!r} is neither a list nor an object")
        return cast("Any", values)
    named: dict[str, Any] = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        if not name or not separator:
            raise UsageError(f"{argument!r} is no parameter", hint="Write NAME=VALUE, or use --params.")
        if name in named:
            raise UsageError(f"the parameter {name} is given twice")
        named[name] = _value(text)
    return named


def _value(text: str) -> Any:
    """What is JSON is meant as such, ``3`` and ``true`` for example; everything else is text."""
    try:
        return _strict(text)
    except (ValueError, RecursionError):
        return text


def _json(text: str) -> Any:
    from concurrence.errors import UsageError

    if text == _STDIN:
        text = sys.stdin.read()
    try:
        return _strict(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"--params is no JSON: {error}", hint='For example: --params \'{"name": "Ada"}\''
        ) from error


def _strict(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


# --- for people ---


def printable(text: str) -> str:
    """A text without what would control the terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text)


def lines_of(value: Any) -> Iterator[str]:
    """A result for people: objects as ``name: value``, lists with ``-``, what is within them indented."""
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            yield from _labelled(f"{name}:", inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            lines = list(lines_of(inner)) or [_scalar(inner)]
            yield f"- {lines[0]}"
            yield from (f"  {line}" for line in lines[1:])
    elif value is not None:
        yield from _scalar(value).splitlines()


def _labelled(label: str, value: Any) -> Iterator[str]:
    if isinstance(value, (dict, list)) and value:
        yield label
        yield from (f"  {line}" for line in lines_of(value))
    else:
        first, *others = _scalar(cast("Any", value)).splitlines() or [""]
        yield f"{label} {first}".rstrip()
        yield from (f"  {line}" for line in others)


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def methods_lines(methods: list[dict[str, Any]]) -> Iterator[str]:
    """The methods of an API, each with how it is called and the first line of what it does."""
    for method in methods:
        words = [_parameter(parameter) for parameter in method["parameters"]]
        yield " ".join([method["name"], *words])
        summary = str(method["doc"]).partition("\n")[0]
        if summary:
            yield f"    {summary.replace('``', '`')}"


def _parameter(parameter: dict[str, Any]) -> str:
    text = f"{parameter['name']}={parameter['type'] or 'VALUE'}"
    return text if parameter["required"] else f"[{text}]"
