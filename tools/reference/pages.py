"""Which pages there are."""

from __future__ import annotations

from pathlib import Path

from concurrence.env.config_report import known_options, options_markdown
from tools.reference.api import api_markdown
from tools.reference.commands import commands_markdown
from tools.reference.components import components_markdown
from tools.reference.loaded import built_in
from tools.reference.methods import methods_markdown
from tools.reference.metrics import metrics_markdown

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
COMMAND = "python -m tools.reference"

_OPTIONS_INTRO = """\
Every option of every built-in component, by section. The same for your own environment, with the options of its
plug-ins: `concurrence config doc`. How to set them, and how values are written:
[configuration](../configuration.md).
"""


def made_pages() -> dict[str, str]:
    """The pages as the code has them now: their text by file name."""
    with built_in() as environment:
        return {
            "options.md": options_page(options_markdown(known_options(environment))),
            "components.md": components_markdown(environment),
            "commands.md": commands_markdown(),
            "api.md": api_markdown(),
            "metrics.md": metrics_markdown(),
            "methods.md": methods_markdown(environment),
        }


def options_page(reference: str) -> str:
    """The page of options: what the product prints, with a word of its own at the top."""
    title, _, rest = reference.partition("\n")
    return f"{title}\n\n{_OPTIONS_INTRO}{rest}"
