"""The page of a report: whole, from the author's names nothing becomes markup, and it stays small."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from concurrence.nodes.report_charts import law_chart, split_chart
from concurrence.nodes.report_page import MAX_SLAVES, report_page
from concurrence.nodes.run_report import RunReport, SlaveShare, Split

SPLIT = Split(compute=14.0, serialise=1.0, transfer=2.0, starved=1.0, idle=2.0)


def report(slaves: int = 2, split: Split = SPLIT) -> RunReport:
    rows = tuple(SlaveShare(f"<b>slave {n}</b>", 2, 10.0, 10, split, 1_000, 2_000_000) for n in range(slaves))
    return RunReport(10.0, 20, 1, 2, 4_000_000, split, rows, 20, 0.5, 1.0)


class Elements(HTMLParser):
    """The names of all elements, and whether each that was opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_nobody_for_anything() -> None:
    page = report_page(report(), "<i>App</i>", "failed: <u>oh</u>", is_good=False)
    found = Elements(page)
    assert found.open == []
    assert not {"script", "link", "img", "iframe", "b", "i", "u"} & set(found.names)
    assert not re.search(r"https?:|url\(|@import|src=|href=", page)
    assert "&lt;i&gt;App&lt;/i&gt;" in page
    assert "failed: &lt;u&gt;oh&lt;/u&gt;" in page
    assert 'class="outcome bad"' in page
    assert "prefers-color-scheme: dark" in page
    assert "20.00 s" in page  # workers x time
    assert len(page) < 40_000


def test_of_very_many_slaves_some_are_shown() -> None:
    page = report_page(report(slaves=1_000), "App")
    assert page.count("slave 1") < 1_000
    assert page.count("<tr>") <= MAX_SLAVES + 10
    assert f"And {1_000 - MAX_SLAVES:,} more" in page
    assert "more, which" not in report_page(report(slaves=MAX_SLAVES), "App")
    assert len(page) < 200_000


def test_a_run_that_ended_early_has_a_page_too() -> None:
    page = report_page(RunReport(0.0, 0, 0, 0, 0), "App", "interrupted", is_good=False)
    assert Elements(page).open == []
    assert "the run ended too early" in page
    assert "not known" in page
    assert "<svg" not in page


def bars(chart: str) -> list[float]:
    return [float(width) for width in re.findall(r'width="([\d.]+)" height="22"', chart)]


def test_a_bar_is_as_long_as_its_share() -> None:
    chart = split_chart(report(slaves=1), report(slaves=1).slaves)
    widths = bars(chart)
    assert sum(widths) == pytest.approx(680, abs=0.5)
    assert widths[0] == pytest.approx(0.7 * 680, abs=0.1)
    assert len(bars(split_chart(report(), report().slaves))) == 15


@pytest.mark.parametrize("compute", [20.0, 19.99, 10.0, 0.001])
def test_the_curve_of_the_law_stays_in_its_picture(compute: float) -> None:
    run = replace(report(), split=Split(compute=compute, idle=20.0 - compute))
    chart = law_chart(run)
    pairs = [pair for line in re.findall(r'points="([^"]+)"', chart) for pair in line.split()]
    points = [tuple(map(float, pair.split(","))) for pair in pairs]
    assert points
    assert all(149 <= x <= 831 and -1 <= y <= 259 for x, y in points), points
    assert "this run" in chart
    assert ("limit" in chart) == ((run.limit or 0.0) < 20)


def test_a_run_of_which_nearly_all_is_serial_is_told_in_words_for_people() -> None:
    run = replace(report(), split=Split(compute=0.02, idle=19.98))
    assert "9.99 s, 100% of all, are serial" in report_page(run, "App")
