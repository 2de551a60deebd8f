"""The picture of linked components: everything stands somewhere, nothing on top of another, and it is valid."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from concurrence.env.diagram_layout import Box, Strength, lay_out
from concurrence.env.diagram_mermaid import draw_mermaid
from concurrence.env.diagram_svg import draw_svg
from concurrence.env.links import Link, LinkedComponent, LinkMap

SVG = "{http://www.w3.org/2000/svg}"


def component(
    name: str, *links: Link, implements: tuple[str, ...] = (), enabled: bool = True, source: str = "built in"
) -> LinkedComponent:
    return LinkedComponent(f"m:{name}", "", tuple(f"m:{each}" for each in implements), enabled, source, links)


def choice(attribute: str, interface: str, *chosen: str, problem: str = "") -> Link:
    names = tuple(f"m:{name}" for name in chosen)
    return Link(attribute, f"m:{interface}", f"[x] {attribute}", names, "default", problem)


MASTER = component("Master", choice("journal", "IJournal", "Kept"), choice("policy", "IPolicy", "Fair"))
SOME = LinkMap(
    (
        MASTER,
        component("Kept", implements=("IJournal",)),
        component("Fair", choice("rater", "IRater", "Quick"), implements=("IPolicy",)),
        component("Plain", implements=("IPolicy",), source="a <plug> & in"),
        component("Gone", implements=("IPolicy",), enabled=False),
        component("Quick", implements=("IRater",)),
    )
)

NAMES = st.integers(0, 6).map(lambda number: f"C{number}")
INTERFACES = st.integers(0, 4).map(lambda number: f"I{number}")
LINKS = st.builds(choice, st.sampled_from(["first", "second", "third"]), INTERFACES, NAMES)


def generated(name: str, links: list[Link], implements: set[str], enabled: bool) -> LinkedComponent:
    own = {link.attribute: link for link in links}
    return component(name, *own.values(), implements=tuple(sorted(implements)), enabled=enabled)


def gathered(components: list[LinkedComponent]) -> LinkMap:
    return LinkMap(tuple(components))


COMPONENTS = st.builds(
    generated, NAMES, st.lists(LINKS, max_size=3), st.sets(INTERFACES, max_size=2), st.booleans()
)
MAPS = st.lists(COMPONENTS, max_size=7, unique_by=lambda each: each.identity).map(gathered)


def overlap(one: Box, other: Box) -> bool:
    beside = one.x + one.width <= other.x or other.x + other.width <= one.x
    return not (beside or one.y + one.height <= other.y or other.y + other.height <= one.y)


def test_columns_follow_the_links() -> None:
    layout = lay_out(SOME)
    order = ["m:Master", "m:IPolicy [x] policy", "m:Fair", "m:IRater [x] rater", "m:Quick"]
    assert [layout.at(key).column for key in order] == [0, 1, 2, 3, 4]


def test_lines_tell_who_is_chosen_who_could_be_and_who_is_disabled() -> None:
    layout = lay_out(SOME)
    ends = {each.end: each.strength for each in layout.connections if each.start == "m:IPolicy [x] policy"}
    assert ends == {
        "m:Fair": Strength.CHOSEN,
        "m:Plain": Strength.POSSIBLE,
        "m:Gone": Strength.DISABLED,
    }


def test_components_that_are_linked_alike_share_a_box_but_those_that_are_chosen_do_not() -> None:
    link = choice("transport", "ITransport", "Wire")
    wire = component("Wire", implements=("ITransport",))
    alike = LinkMap((component("One", link), component("Two", link), wire))
    assert [box.title for box in lay_out(alike).boxes.values()] == ["One, Two", "Wire"]
    apps = choice("app", "IApp", "One")
    app = ("IApp",)
    chosen = (component("One", link, implements=app), component("Two", link, implements=app))
    titles = [box.title for box in lay_out(LinkMap((component("Env", apps), *chosen, wire))).boxes.values()]
    assert titles == ["Env", "One", "Two", "Wire"]


@given(MAPS)
def test_nothing_overlaps_whatever_the_links(links: LinkMap) -> None:
    layout = lay_out(links)
    every = [*layout.boxes.values(), *layout.pills.values()]
    assert not [(one.key, other.key) for one, other in combinations(every, 2) if overlap(one, other)]
    assert all(box.x >= 0 and box.x + box.width <= layout.width for box in every)
    assert all(box.y >= 0 and box.y + box.height <= layout.height for box in every)
    for connection in layout.connections:
        start = layout.at(connection.start)
        assert connection.line is None or connection.line < len(start.lines)


@given(MAPS)
def test_each_extension_point_leaves_at_its_own_line(links: LinkMap) -> None:
    layout = lay_out(links)
    for linked in links.components:
        box = layout.boxes.get(linked.identity)
        if box is None:
            continue  # it shares the box of another
        leaving = {box.lines[each.line or 0]: each.end for each in layout.connections if each.start == box.key}
        assert leaving == {link.attribute: f"{link.interface} {link.option}" for link in linked.links}


@given(MAPS)
def test_the_svg_is_xml_and_the_same_each_time(links: LinkMap) -> None:
    text = draw_svg(links)
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert text == draw_svg(links)


def test_the_svg_shows_names_sources_and_what_is_broken() -> None:
    broken = component("Node", choice("transport", "ITransport", problem="no ITransport is called 'X'"))
    root = ET.fromstring(draw_svg(LinkMap((*SOME.components, broken))))
    texts = {element.text for element in root.iter(f"{SVG}text")}
    assert {"Master", "journal", "IPolicy", "[x] policy", "a <plug> & in", "(none so far)"} <= texts
    assert {"is disabled", "could be chosen instead", "the configured choice is broken"} <= texts


def test_lines_do_not_cross_where_they_need_not() -> None:
    """The extension points of a component are written in the order of what they lead to."""
    layout = lay_out(SOME)
    leaving = sorted(
        (each for each in layout.connections if each.start == "m:Master"), key=lambda each: each.line or 0
    )
    heights = [layout.at(each.end).y for each in leaving]
    assert all(above < below for above, below in pairwise(heights))


def test_mermaid_names_each_box_once_and_quotes_what_it_would_misread() -> None:
    text = draw_mermaid(SOME)
    assert text.startswith("flowchart LR\n")
    assert '    component0["Master"]' in text
    assert '(["IPolicy<br/>#91;x#93; policy"])' in text
    assert 'component0 -- "policy" --> point' in text
    assert ":::disabled" in text
    shapes = re.findall(r"^ {4}(\w+)[\[(]", text, re.MULTILINE)
    assert len(shapes) == len(set(shapes)) == 9
    used = set(re.findall(r"\b(?:component|point)\d+\b", text))
    assert used == set(shapes)


def rectangles(text: str) -> list[tuple[str | None, str | None]]:
    """Fill and edge of what stands for a source: of the boxes, and of the legend."""
    found = ET.fromstring(text).iter(f"{SVG}rect")
    return [(each.get("fill"), each.get("stroke")) for each in found if each.get("height") == "14"]


def test_each_source_has_a_colour_of_its_own_and_what_is_built_in_always_the_same() -> None:
    plugins = [component(f"P{number}", implements=("IPolicy",), source=f"plugin {number}") for number in range(40)]
    (built_in,) = rectangles(draw_svg(LinkMap((MASTER,))))
    legend = rectangles(draw_svg(LinkMap((MASTER, *plugins))))
    assert legend[0] == built_in
    assert len(set(legend)) == len(legend) == 41
    assert built_in not in rectangles(draw_svg(LinkMap((plugins[0],))))


def test_the_legend_explains_a_disabled_component_that_nobody_could_choose() -> None:
    links = LinkMap((component("Alone", enabled=False), MASTER))
    texts = [element.text for element in ET.fromstring(draw_svg(links)).iter(f"{SVG}text")]
    assert texts.count("is disabled") == 1
    texts = [element.text for element in ET.fromstring(draw_svg(SOME)).iter(f"{SVG}text")]
    assert texts.count("is disabled") == 1
