"""``concurrence plugin``: list plug-ins, make new ones, and run their tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concurrence.cli.options import EnvOption, JsonOption, environment_folder, examples, show_help

if TYPE_CHECKING:
    from concurrence.cli.skeleton import Skeleton

commands = typer.Typer(
    callback=show_help, invoke_without_command=True, help="List plug-ins, make new ones, and run their tests."
)

KIND_NAMES = "app, strategy, scheduler, task-manager, transport, journal, command, service"
"""Here too, so that the help needs not load them; a test compares."""

_PACKAGE_HINT = "Name one with --env PATH, or add --package for a project of its own"


@commands.command("list", epilog=examples("concurrence plugin list", "concurrence plugin list --env mine --check"))
def list_(
    env: EnvOption = None,
    as_json: JsonOption = False,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a plug-in is broken.")] = False,
) -> int:
    """List the plug-ins, their components, and what is wrong with those that are broken."""
    from concurrence.cli.plugin_list import as_dict, lines, survey

    with survey(env) as (environment, plugins):
        if as_json:
            print(json.dumps(as_dict(environment, plugins), indent=2))
        else:
            for line in lines(environment, plugins):
                print(line)
    return int(check and any(plugin.failure is not None for plugin in plugins))


@commands.command(
    epilog=examples(
        "concurrence plugin new app primes --env mine",
        "concurrence plugin new strategy nearest --package --to ~/projects",
    )
)
def new(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of: {KIND_NAMES}.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of its module.", show_default=False)],
    env: EnvOption = None,
    package: Annotated[
        bool, typer.Option("--package", help="Make a project that can be installed, with a pyproject.toml.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the project's folder is made.", show_default="here"),
    ] = None,
) -> int:
    """Make a new plug-in: a small one that works, with its test, to be changed into what you want."""
    from concurrence.cli.skeleton import KINDS, Skeleton, refuse_existing, write_all
    from concurrence.errors import UsageError

    if kind not in KINDS:
        raise UsageError(f"no kind of plug-in is called {kind!r}", hint=f"{_guess(kind)}There are: {KIND_NAMES}.")
    if package and env is not None:
        raise UsageError("--package and --env exclude each other", hint="A package serves all environments.")
    if to is not None and not package:
        raise UsageError("--to goes with --package", hint="In an environment the place is given: plugins/")
    skeleton = Skeleton(KINDS[kind], name)
    folder = None if package else environment_folder(env, hint=_PACKAGE_HINT)
    root = folder if folder is not None else (to or Path()) / skeleton.words["distribution"]
    texts = skeleton.files_in_environment(root) if folder else skeleton.files_of_package(to or Path())
    built_in = context.find_root().command
    refuse_existing(texts)
    _check_name(skeleton, folder, frozenset(getattr(built_in, "commands", ())))
    write_all(texts)
    print(f"Made {skeleton.kind.what}, {skeleton.class_name}:")
    print("\n".join([*(f"  {path}" for path in texts), "Next:", *skeleton.next_steps(folder, root)]))
    return 0


@commands.command("test", epilog=examples("concurrence plugin test --env mine", "concurrence plugin test primes"))
def run_tests(
    plugin: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|PATH",
            help="A plug-in of the environment, or the folder of a project.",
            show_default="all of the environment",
        ),
    ] = None,
    env: EnvOption = None,
) -> int:
    """Run the tests of plug-ins, with pytest."""
    from concurrence.cli.plugin_tests import run_suite, suite_of_environment, suite_of_package
    from concurrence.env.environment import Environment
    from concurrence.errors import UsageError

    if plugin is None and env is None:
        env = Environment.discover(Path.cwd())
    project = Path(plugin or ".")
    is_path = plugin is not None and ("/" in plugin or plugin in (".", ".."))
    if env is None and (is_path or (project / "pyproject.toml").is_file()):
        return run_suite(suite_of_package(project))
    if is_path:
        raise UsageError("a PATH and --env exclude each other", hint="Name a plug-in of the environment.")
    return run_suite(suite_of_environment(environment_folder(env), plugin))


def _guess(kind: str) -> str:
    from concurrence.errors import did_you_mean

    guess = did_you_mean(kind, KIND_NAMES.split(", "))
    return f"{guess} " if guess else ""


def _check_name(skeleton: Skeleton, folder: Path | None, built_in: frozenset[str]) -> None:
    from concurrence.env.environment import Environment
    from concurrence.env.log import configure_logging

    configure_logging("CRITICAL")  # plug-ins that are broken are not the matter here
    opened = Environment.open(folder) if folder is not None else Environment.ephemeral()
    with opened as environment:
        skeleton.check_name(environment.registered(), built_in)
