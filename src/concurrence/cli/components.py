"""``concurrence components``: what is loaded, who is linked with whom, and a picture of it."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from concurrence.cli.failures import note_broken, report
from concurrence.cli.options import ConfigOption, EnvOption, JsonOption, SetOption, examples, files_of

if TYPE_CHECKING:
    from concurrence.env.links import LinkedComponent, LinkMap
    from concurrence.env.plugins import PluginFailure

EPILOG = examples(
    "concurrence components",
    "concurrence components MasterNode SlaveNode",
    "concurrence components --env swarm --graph",
    "concurrence components --graph links.svg",
    "concurrence components --graph - --format mermaid",
)


class GraphFormat(Enum):
    """How a diagram is written."""

    SVG = "svg"
    MERMAID = "mermaid"


_SUFFIXES = {".svg": GraphFormat.SVG, ".mmd": GraphFormat.MERMAID, ".mermaid": GraphFormat.MERMAID}


class ComponentsCommand(TyperCommand):
    """The command whose ``--graph`` may stand alone: the file is then named after the command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a lone ``--graph`` the empty name, for options have a value always or never."""
        words: list[str] = []
        for word, after in zip(args, [*args, "--"][1:], strict=True):
            is_lone = word == "--graph" and after.startswith("-") and after != "-"
            words += [word, ""] if is_lone else [word]
        return super().parse_args(ctx, words)


def components(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only these components.", show_default="all"),
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph",
            metavar="[FILE]",
            help="Draw the links into FILE.svg or FILE.mmd, by default components.svg; - for standard output.",
        ),
    ] = None,
    form: Annotated[
        GraphFormat | None,
        typer.Option("--format", help="How to draw.", show_default="what FILE ends in, else svg"),
    ] = None,
    as_json: JsonOption = False,
    env: EnvOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> int:
    """List the loaded components, their extension points and who is chosen; or draw their links.

    Nothing is activated. A choice in the config that means no component is shown as broken; the command then ends
    with exit code 1.
    """
    from concurrence.cli.components_display import as_dict, lines
    from concurrence.errors import UsageError

    if graph is not None and (as_json or names):
        raise UsageError("--graph draws all components: --json and NAME do not go with it")
    if form is not None and graph is None:
        raise UsageError("--format needs --graph", hint="For example: concurrence components --graph links.svg")
    if graph == "":
        graph = "components.mmd" if form is GraphFormat.MERMAID else "components.svg"
    links, failures = _survey(env, files_of(config), settings or [])
    if graph is not None:
        _write(draw(links, form or _form_of(graph)), graph)
    elif as_json:
        from json import dumps

        print(dumps(as_dict(_selected(links, names)), indent=2))
    else:
        print("\n".join(lines(_selected(links, names), is_part=bool(names))))
    note_broken(failures)
    for problem in links.problems:
        report(problem, "")
    return 1 if links.problems else 0


def draw(links: LinkMap, form: GraphFormat) -> str:
    """The diagram as text."""
    from concurrence.env.diagram_mermaid import draw_mermaid
    from concurrence.env.diagram_svg import draw_svg

    return draw_svg(links) if form is GraphFormat.SVG else draw_mermaid(links)


def _survey(env: Path | None, files: list[Path], settings: list[str]) -> tuple[LinkMap, list[PluginFailure]]:
    """The links of an environment's components, and the plug-ins that are broken."""
    from concurrence.component import Component
    from concurrence.env.environment import Environment
    from concurrence.env.links import map_links
    from concurrence.env.log import configure_logging
    from concurrence.env.plugins import find_plugins, load_sources

    configure_logging("CRITICAL")  # plug-ins that fail are told of at the end
    folder = env if env is not None else Environment.discover(Path.cwd())
    opened = (
        Environment.ephemeral(overrides=settings, config_files=files, plugins=False)
        if folder is None
        else Environment.open(folder, overrides=settings, config_files=files, plugins=False)
    )
    with opened as environment:
        plugins = environment.path / "plugins"
        sources: dict[type[Component], str] = {}
        failures: list[PluginFailure] = []
        for plugin in load_sources(environment, find_plugins(plugins), plugins, log=environment.log):
            source = plugin.source
            place = "built in" if source.is_own else source.distribution or f"plugins/{source.name}"
            sources |= dict.fromkeys(plugin.components, place)
            if plugin.failure is not None:
                failures.append(plugin.failure)
        return map_links(environment, sources), failures


def _selected(links: LinkMap, names: list[str] | None) -> LinkMap:
    from concurrence.env.links import LinkMap
    from concurrence.errors import UsageError, did_you_mean

    if not names:
        return links
    wanted = {name.casefold() for name in names}
    for name in names:
        if not any(name.casefold() in _names(each) for each in links.components):
            guess = did_you_mean(name, [each.name for each in links.components])
            raise UsageError(
                f"no component is called {name!r}", hint=guess or "List them all with: concurrence components"
            )
    return LinkMap(tuple(each for each in links.components if _names(each) & wanted))


def _names(component: LinkedComponent) -> set[str]:
    return {component.name.casefold(), component.identity.casefold()}


def _form_of(graph: str) -> GraphFormat:
    from concurrence.errors import UsageError

    if graph == "-":
        return GraphFormat.SVG
    suffix = Path(graph).suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(
            f"{graph} tells no format",
            hint="Name it FILE.svg or FILE.mmd, or add --format svg or --format mermaid.",
        )
    return _SUFFIXES[suffix]


def _write(text: str, graph: str) -> None:
    if graph == "-":
        sys.stdout.write(text)
        return
    from concurrence.env.whole import write_whole
    from concurrence.errors import ConcurrenceError

    try:
        write_whole(Path(graph), text)
    except OSError as error:
        raise ConcurrenceError(
            f"{graph} cannot be written: {error.strerror or error}", hint="Choose another file."
        ) from error
    print(f"the diagram: {graph}")
