"""docs/troubleshooting.md: what it quotes is said somewhere in the sources, and what people meet is on it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import concurrence
from concurrence import errors

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "concurrence"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
FOREIGN = ("command not found", "ValueError: ", "Address family not supported by protocol")
"""Quoted, and not ours."""

CLASSES = {name for name, value in vars(errors).items() if isinstance(value, type)} | {"LaunchFailed", "Fault"}
UNMET = {"ProtocolError", "TaskInterrupted"}
"""What only a broken or foreign peer causes, and what is raised in tasks without a text for people."""
LEFT_OUT = (
    "cli/",  # the wrong use of a command: it says itself what is right
    "transport/rpc_",  # for authors of remote methods: transport.md
    "transport/remote.py",  # for authors of API methods: api.md
    "transport/jsonrpc.py",
    "transport/standalone.py",
    "testing/",
    "samples/",
    "env/config_edit.py",  # line by line what is wrong with a TOML file
    "env/component_order.py",
    "tasks/shared_blobs.py",
    "scheduling/core.py",
)
WILD = "\0"


def text_of(node: ast.expr) -> str:
    """A text of the sources, with a mark for what is filled in; empty if it is none."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"%(?:\.\d)?[sdrxgf]", WILD, text)
        case ast.JoinedStr(values=values):
            return "".join(text_of(each) if isinstance(each, ast.Constant) else WILD for each in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text_of(left) + text_of(right)
        case _:
            return ""


@cache
def texts() -> tuple[str, ...]:
    """All texts of the sources."""
    found: dict[str, None] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.expr) and (text := text_of(node)):
                found[text] = None
    return tuple(found)


def messages() -> list[str]:
    """What the first cells of the tables quote."""
    found: dict[str, None] = {}
    for line in PAGE.partition("## By class")[0].splitlines():
        cells = line.split(" | ")
        if line.startswith("| `"):
            found.update(dict.fromkeys(re.findall(r"`([^`]+)`", cells[0])))
    names = set(concurrence.__all__) | {"TimeoutError"}
    return [each for each in found if each not in names]


def parts(message: str) -> list[str]:
    return [part for part in message.split("...") if part.strip()]


def says(text: str, message: str) -> bool:
    """Whether a text of the sources is what a message quotes: its parts, in order."""
    at = 0
    for part in parts(message):
        at = text.find(part.strip(" "), at)
        if at < 0:
            return False
        at += len(part.strip(" "))
    return True


@pytest.mark.parametrize("message", messages())
def test_what_is_quoted_is_said(message: str) -> None:
    if message.startswith(FOREIGN):
        return
    assert parts(message), "only dots"
    assert any(says(text, message) for text in texts())


def is_meant(text: str, message: str) -> bool:
    """Whether a quoted message is that text, and not one that merely has some words of it."""
    own = len("".join(text.replace(WILD, "").split()))
    return says(text, message) and 2 * len("".join("".join(parts(message)).split())) >= min(own, 36)


def raised() -> Iterator[tuple[str, str]]:
    """Where and with which text errors are made and what is wrong is logged, as far as people meet it."""
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE).as_posix()
        if place.startswith(LEFT_OUT):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            is_log = name in ("warning", "error", "exception") and "log" in ast.unparse(node.func)
            if is_log or (name in CLASSES and name not in UNMET):
                text = text_of(node.args[1 if name == "Fault" and len(node.args) > 1 else 0])
                if len(re.sub(f"[{WILD} :;,]", "", text)) > 5:  # otherwise it is made elsewhere
                    yield f"{place}:{node.lineno}", text


def test_what_people_meet_is_on_the_page() -> None:
    quoted = messages()
    lacking = [f"{place}: {text}" for place, text in raised() if not any(is_meant(text, each) for each in quoted)]
    assert not lacking, "\n".join(["", *lacking]).replace(WILD, "...")


def test_every_error_class_is_on_the_page() -> None:
    names = [
        name
        for name in concurrence.__all__
        if isinstance(value := getattr(concurrence, name), type) and issubclass(value, BaseException)
    ]
    table = PAGE.partition("## By class")[2]
    assert len(names) > 15
    assert not [name for name in names if f"`{name}`" not in table + "`ConcurrenceError`"]
