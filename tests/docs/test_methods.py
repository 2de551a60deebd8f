"""docs/reference/methods.md has every method that nodes offer, and what it says of them is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import concurrence
from concurrence.cli.call import parameters_of
from concurrence.nodes.openrpc import openrpc, read_doc
from concurrence.transport.remote import ApiService
from tools.reference.loaded import built_in
from tools.reference.methods import example, master_service, slave_service

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "methods.md"
OFFER = re.compile(
    r'@jsonremote\((?:service|self\.api_service_v1)(?:, name="(?P<name>[\w.]+)")?[^\n]*\)\n'
    r"\s+def (?P<function>\w+)"
)


def offered() -> set[str]:
    """What the sources of nodes offer, found in their text."""
    nodes = Path(concurrence.__file__).parent / "nodes"
    texts = [path.read_text("utf-8") for path in sorted(nodes.glob("*.py"))]
    return {match["name"] or match["function"] for text in texts for match in OFFER.finditer(text)}


@pytest.fixture(scope="module")
def service() -> ApiService:
    with built_in() as environment:
        return master_service(environment)


def test_every_method_is_there(service: ApiService) -> None:
    names = {method.name for method in service.methods}
    assert names | {method.name for method in slave_service().methods} == offered()
    headings = set(re.findall(r"^### ([\w.]+)$", PAGE.read_text("utf-8"), re.MULTILINE))
    assert names <= headings


def test_examples_are_calls_that_the_methods_take(service: ApiService) -> None:
    for method in service.methods:
        _, _, name, *arguments = shlex.split(example(method.name))
        assert name == method.name
        method.arguments(parameters_of(arguments))


def test_every_parameter_and_result_is_explained(service: ApiService) -> None:
    silent = [
        f"{method['name']}: {part['name']}"
        for method in openrpc(service)["methods"]
        for part in (*method["params"], method["result"])
        if "description" not in part and "$ref" not in str(part["schema"])
    ]
    assert not silent


def test_sections_name_nothing_that_is_not_there(service: ApiService) -> None:
    for method in service.methods:
        doc = read_doc(method.doc)
        assert set(doc.parameters) <= {each.name for each in method.parameters}, method.name
