"""``concurrence env``: make environments, look into them, check, back up, restore and upgrade them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from concurrence.cli.options import JsonOption, environment_folder, examples, show_help

if TYPE_CHECKING:
    from collections.abc import Iterator

    from concurrence.env.backup import Backup, Manifest
    from concurrence.env.env_check import Finding

commands = typer.Typer(
    callback=show_help,
    invoke_without_command=True,
    help="Make environments, look into them, check, back up, restore and upgrade them.",
)

_AroundArgument: TypeAlias = Annotated[
    Path | None, typer.Argument(metavar="PATH", help="The folder.", show_default="the one around you")
]
_NAME_IT = "Name one: PATH"


@commands.command(
    epilog=examples("concurrence env create mine", "concurrence env create mine --app Mandelbrot"),
)
def create(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder; new or empty.", show_default=False)],
    app: Annotated[str | None, typer.Option("--app", metavar="NAME", help="The application that it runs.")] = None,
) -> int:
    """Make a new environment: a folder for config, plug-ins, keys and state."""
    from concurrence.cli.choosing import choose_app
    from concurrence.env.environment import Environment
    from concurrence.env.layout import LAYOUT, in_shell
    from concurrence.env.log import configure_logging
    from concurrence.errors import ConcurrenceError

    configure_logging("WARNING")
    with Environment.create(path, app) as environment:
        print(f"Made the environment {environment.path}")
        for entry in LAYOUT:
            print("\n".join(_columns(entry.shown, entry.meaning)))
        print(f"Run it: concurrence run {'' if app else 'APP '}--env {in_shell(path)}")
        try:
            if app:
                choose_app(environment, None)
        except ConcurrenceError as error:
            print(f"note: {error.message} yet; {error.hint}")
    return 0


@commands.command(epilog=examples("concurrence env info", "concurrence env info mine --json"))
def info(path: _AroundArgument = None, as_json: JsonOption = False) -> int:
    """Show what is in an environment: its config, plug-ins, keys, state, and what is broken."""
    from concurrence.cli.env_info import describe, info_lines
    from concurrence.env.environment import Environment
    from concurrence.env.log import configure_logging

    configure_logging("CRITICAL")  # plug-ins that fail are listed below
    with Environment.open(environment_folder(path, hint=_NAME_IT)) as environment:
        known = describe(environment)
        print(json.dumps(known, indent=2, default=str) if as_json else "\n".join(info_lines(known)))
    return 0


@commands.command(epilog=examples("concurrence env check mine", "concurrence env check mine --fix"))
def check(
    path: _AroundArgument = None,
    fix: Annotated[bool, typer.Option("--fix", help="Correct modes, and make what is missing.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Say what is wrong with an environment, and what to do about it; ends with 1 if anything is."""
    from concurrence.env.log import configure_logging

    configure_logging("CRITICAL")  # what fails is a finding
    folder = environment_folder(path, hint=_NAME_IT).absolute()
    _refuse_nothing(folder)
    repaired: list[Finding] = []
    if fix:
        repaired = _repair(folder)
    findings = list(_findings(folder))
    if as_json:
        print(json.dumps(_as_dict(folder, findings, repaired), indent=2))
    else:
        for finding in repaired:
            print(f"repaired: {finding.what}: {finding.where}")
        _show_findings(folder, findings)
    return 1 if findings else 0


@commands.command(
    epilog=examples("concurrence env backup mine", "concurrence env backup mine --to mine.tar.gz --without-keys")
)
def backup(
    path: _AroundArgument = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="The archive to write.", show_default="PATH-backup-TIME.tar.gz"),
    ] = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave keys/ and connect/ empty in it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> int:
    """Write an environment into one file, from which it can be restored here or on another machine."""
    from concurrence.env.layout import in_shell

    folder = environment_folder(path, hint=_NAME_IT)
    made = _write_backup(folder, to, "backup", keys=not without_keys, replace=force)
    manifest = made.manifest
    print(f"Wrote {made.path}: {_count(manifest)}, layout {manifest.layout}")
    for line in made.left_out:
        print(f"left out: {line}")
    if manifest.master:
        print(f"note: a master runs in it ({manifest.master}): what is in state/ was copied meanwhile,")
        print("  and may be behind or incomplete. For a backup that is complete, stop the master first.")
    if manifest.has_keys:
        print("It holds secret keys, and is readable by you only: keep it so.")
    else:
        print("It holds no keys: a master makes new ones when it first runs there.")
    print(f"Restore it: concurrence env restore {in_shell(made.path)} PATH")
    return 0


@commands.command(epilog=examples("concurrence env restore mine-backup-20260101T120000Z.tar.gz mine"))
def restore(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder; new or empty.", show_default=False)],
) -> int:
    """Make an environment from a backup, every file of which is verified first."""
    from concurrence.env.layout import STAMP_VERSION, in_shell
    from concurrence.env.restore import restore_backup

    manifest = restore_backup(archive, path)
    print(f"Restored {path.absolute()}: {_count(manifest)}, as it was on {manifest.time}")
    if not manifest.has_keys:
        print("The backup has no keys: a master makes new ones when it first runs; copy new connect files then.")
    if manifest.master:
        print("note: it was made while a master ran; what is in state/ may be behind or incomplete.")
    if manifest.layout < STAMP_VERSION:
        print(f"It is of an older version; now: concurrence env upgrade {in_shell(path)}")
    return 0


@commands.command(epilog=examples("concurrence env upgrade mine", "concurrence env upgrade mine --no-backup"))
def upgrade(
    path: _AroundArgument = None,
    no_backup: Annotated[bool, typer.Option("--no-backup", help="Do not write a backup first.")] = False,
) -> int:
    """Bring an environment of an older version up to date; a backup is written beside it first."""
    from concurrence.env.layout import STAMP_VERSION, check_stamp
    from concurrence.env.upgrades import upgrade_folder
    from concurrence.nodes.locking import lock_folder

    folder = environment_folder(path, hint=_NAME_IT).absolute()
    version = check_stamp(folder)
    if version == STAMP_VERSION:
        print(f"{folder} is up to date: layout {version}")
        return 0
    with lock_folder(folder):
        if not no_backup:
            made = _write_backup(folder, None, f"layout-{version}", keys=True, replace=False, is_ours=True)
            print(f"Wrote the backup {made.path}")
        for reached, step in upgrade_folder(folder):
            print(f"layout {reached}: {step.summary}")
    print(f"{folder} is up to date: layout {STAMP_VERSION}")
    return 0


# --- what the commands share ---


def _refuse_nothing(folder: Path) -> None:
    """Whether there is anything to check: a folder that was never an environment is a mistake in the call."""
    from concurrence.env.layout import check_stamp, is_environment, looks_damaged

    if not is_environment(folder) and not looks_damaged(folder):
        check_stamp(folder)


def _findings(folder: Path) -> Iterator[Finding]:
    from concurrence.env.env_check import check_folder
    from concurrence.env.layout import STAMP_VERSION, stamp_version
    from concurrence.nodes.key_check import check_keys, check_lock

    yield from check_folder(folder)
    yield from check_lock(folder)
    yield from check_keys(folder)
    if stamp_version(folder) == STAMP_VERSION:
        yield from _findings_inside(folder)


def _findings_inside(folder: Path) -> Iterator[Finding]:
    from concurrence.cli.choosing import choose_app
    from concurrence.env.env_check import Finding, check_opened, config_finding
    from concurrence.env.environment import Environment
    from concurrence.env.layout import CONFIG_FILE
    from concurrence.errors import ConcurrenceError, ConfigError

    try:
        with Environment.open(folder) as environment:
            yield from check_opened(environment)
            try:
                if environment.app_name:
                    choose_app(environment, None)
            except ConfigError:
                pass  # a finding of the config
            except ConcurrenceError as error:
                value = environment.config.get("project", "app")
                place = value.origin if value is not None else str(folder / CONFIG_FILE)
                yield Finding("no such application", place, error.message, error.hint)
    except ConfigError as error:
        yield config_finding(error)


def _repair(folder: Path) -> list[Finding]:
    from concurrence.errors import EnvironmentInvalid

    done: list[Finding] = []
    for finding in _findings(folder):
        if finding.repair is None:
            continue
        try:
            finding.repair()
        except OSError as error:
            raise EnvironmentInvalid(
                f"{finding.where} cannot be repaired: {error.strerror}", hint=f"As its owner: {finding.cure}"
            ) from error
        done.append(finding)
    return done


def _show_findings(folder: Path, findings: list[Finding]) -> None:
    from concurrence.env.layout import in_shell
    from concurrence.nodes.key_check import has_keys

    for finding in findings:
        print(f"{finding.what}: {finding.where}")
        for line in finding.why.splitlines():
            print(f"  {line}")
        print(f"  -> {finding.cure}")
    if findings:
        print(f"{len(findings)} {'thing is' if len(findings) == 1 else 'things are'} wrong with {folder}")
        if any(finding.repair is not None for finding in findings):
            print(f"Modes and what is missing are corrected by: concurrence env check --fix {in_shell(folder)}")
        return
    if not has_keys(folder):
        print("keys: none yet; a master makes them when it first runs")
    print("ok")


def _as_dict(folder: Path, findings: list[Finding], repaired: list[Finding]) -> dict[str, object]:
    from concurrence.nodes.key_check import has_keys

    def plain(finding: Finding) -> dict[str, object]:
        texts = {"what": finding.what, "where": finding.where, "why": finding.why, "cure": finding.cure}
        return {**texts, "can_fix": finding.repair is not None}

    return {
        "path": str(folder),
        "ok": not findings,
        "has_keys": has_keys(folder),
        "findings": [plain(finding) for finding in findings],
        "repaired": [plain(finding) for finding in repaired],
    }


def _write_backup(
    path: Path, to: Path | None, label: str, *, keys: bool, replace: bool, is_ours: bool = False
) -> Backup:
    from datetime import UTC, datetime

    from concurrence.env.backup import default_target, write_backup
    from concurrence.nodes.locking import running_master

    folder, now = path.absolute(), datetime.now(UTC)
    target = to if to is not None else default_target(folder, now, label)
    master = "" if is_ours else running_master(folder) or ""
    return write_backup(folder, target, now=now, keys=keys, replace=replace, master=master)


def _count(manifest: Manifest) -> str:
    from concurrence.cli.display import human_bytes

    return f"{len(manifest.files)} files, {human_bytes(manifest.size)}"


def _columns(name: str, lines: tuple[str, ...]) -> Iterator[str]:
    first, *others = lines
    yield f"  {name:<18}{first}"
    yield from (f"{'':<20}{line}" for line in others)
