"""Configuration that changes under running nodes: by editing, by SIGHUP, right and wrong, idle and under load."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from swarmkit import Program, Swarm, until

from concurrence.env.environment import CONFIG_FILE

pytestmark = pytest.mark.sampled

WRONG = "the config is not adopted"


def config_of(swarm: Swarm, env: str = "master/env") -> Path:
    return swarm.folder / env / CONFIG_FILE


def hang_up(program: Program, times: int = 1) -> None:
    """Send SIGHUP and wait until the node has dealt with it."""
    asked = program.output.count("SIGHUP")
    for count in range(1, times + 1):
        program.send(signal.SIGHUP)
        until(lambda count=count: program.output.count("SIGHUP") >= asked + count, what=str(program))


def test_master_and_slave_adopt_an_edited_file(swarm: Swarm) -> None:
    master = swarm.master()
    slave = swarm.slave("attic")
    swarm.status()
    assert "admin" not in master.output
    for program, path in ((master, config_of(swarm)), (slave, config_of(swarm, "env-attic"))):
        path.write_text('[logging]\nlevel = "DEBUG"\n')
        program.wait_for(f'config changed: [logging] level: "INFO" -> "DEBUG" ({path}:2)\n')
    swarm.status()
    master.wait_for("DEBUG master  admin status registered")


def test_a_file_that_appears_and_one_that_is_replaced(swarm: Swarm) -> None:
    path = config_of(swarm)
    assert swarm.command("env", "create", str(path.parent)).finish() == 0
    path.unlink()
    further = swarm.folder / "further.toml"
    further.touch()
    words = ["master", "--env", str(path.parent), "--port", "0", "-c", str(further)]
    master = swarm.command(*words, folder="master")
    master.wait_for("Ctrl-C")
    path.write_text('[logging]\nformat = "json"\n')
    master.wait_for("config changed: [logging] format")
    new = path.with_suffix(".new")
    new.write_text("[masternode]\nmax_attempts = 7\n")
    new.rename(path)
    master.wait_for(f'"message": "config changed: [masternode] max_attempts: 3 -> 7 ({path}:2)"')
    master.wait_for(r'config changed: [logging] format: \"json\" -> \"text\" (default)"}')
    further.write_text("[masternode]\nlease = 20\nport = 1\n")
    master.wait_for(f'config changed: [masternode] lease: "10 s" -> 20 ({further}:2)\n')
    # Said on the command line, which goes before every file: nothing changes.
    assert "[masternode] port" not in master.output
    master.send(signal.SIGTERM)
    assert master.finish() == 0


def test_what_is_not_live_is_told_once(swarm: Swarm) -> None:
    master = swarm.master()
    path = config_of(swarm)
    text = '[masternode]\nhost = "localhost"\n'
    path.write_text(text)
    told = f'host: "127.0.0.1" -> "localhost" ({path}:2) takes effect after a restart'
    master.wait_for(told)
    path.write_text(text + "lease = 11\n")
    master.wait_for("lease")
    hang_up(master, 2)
    assert master.output.count(told) == 1


def test_what_is_wrong_changes_nothing_and_is_told_once(swarm: Swarm) -> None:
    master = swarm.master()
    path = config_of(swarm)
    path.write_text('[masternode]\nmax_attempts = 5\nlease = "soon"\n')
    master.wait_for(WRONG)
    assert f"{path}:3: [masternode] lease: expected a duration" in master.output
    assert "config changed" not in master.output
    path.write_text('[masternode]\nmax_attempts = 5\nlease = "soon"\n')
    path.write_text("[masternode]\nmax_attempts = 5\n")
    master.wait_for(f"max_attempts: 3 -> 5 ({path}:2)")
    assert master.output.count(WRONG) == 1
    path.unlink()
    master.wait_for("No such file")
    path.write_text("[masternode\n")
    master.wait_for(f"{path}:1: not valid TOML")
    hang_up(master)
    until(lambda: master.output.count(f"{path}:1: not valid TOML") == 2)
    assert "-> 3" not in master.output


def test_limits_really_change(swarm: Swarm) -> None:
    master = swarm.master()
    swarm.slave("attic")
    config_of(swarm).write_text("[masternode]\nmax_attempts = 1\n")
    hang_up(master)
    master.wait_for("max_attempts: 3 -> 1")
    report = swarm.run("failing.py:Failing").ends_well()
    assert "1 workers" in report["errors"]["end_the_process"]["message"]
    assert len(swarm.probes("ended.*")) == 1


def test_task_systems_start_while_the_files_are_wrong(swarm: Swarm) -> None:
    master = swarm.master()
    swarm.slave("attic", workers=2)
    config_of(swarm).write_text("[transport]\nmax_frame = never\n")
    hang_up(master)
    assert WRONG in master.output
    swarm.run("systems.py:Chaining").ends_well()


def test_a_reload_under_load_loses_nothing(swarm: Swarm) -> None:
    master = swarm.master()
    slave = swarm.slave("attic", workers=2)
    app = swarm.run("plain.py:OneByOne")
    until(lambda: "client OneByOne registered" in master.output or not app.runs, what=str(app))
    for turn in range(20):
        wrong = "lease = never\n" if turn % 4 == 3 else ""
        window, attempts = (3_000, 60_000)[turn % 2], turn + 10
        text = (
            f"[masternode]\n{wrong}task_window = {window}\nlease = {5 + turn % 7}\nheartbeat = {0.5 + turn % 3}\n"
        )
        config_of(swarm).write_text(f"{text}max_attempts = {attempts}\ndelivery_window = '{1 + turn % 5} MiB'\n")
        config_of(swarm, "env-attic").write_text(
            f"[logging]\nlevel = '{'NOTHING' if wrong else 'INFO'}'\n# {turn}"
        )
        hang_up(master)
        hang_up(slave)
        seen = f"{config_of(swarm)}:2: not valid TOML" if wrong else f"-> {attempts} ("
        until(lambda seen=seen: seen in master.output or not master.runs, what=str(master))
    assert app.runs, f"the load was over before the last change: {app}"
    assert app.ends_well()["done"] == 100_000
    assert "Traceback" not in master.output + slave.output + app.output
    assert "is gone" not in master.output.partition("client OneByOne is gone")[0]


def test_an_application_and_its_private_swarm_adopt_changes(swarm: Swarm) -> None:
    env = swarm.folder / "env"
    assert swarm.command("env", "create", str(env)).finish() == 0
    path = config_of(swarm, "env")
    app = swarm.command(
        *("run", str(Path(__file__).parent / "apps" / "slow.py:SlowTasks"), "--env", str(env), "--workers", "1"),
        *("--set", "slow.seconds=0.5", "--set", "slow.count=16"),
    )
    app.wait_for("ended slow 0")
    path.write_text('[slow]\nquick = 3\n[logging]\nlevel = "DEBUG"\n[masternode]\nlease = "never"\n')
    app.send(signal.SIGHUP)
    app.wait_for(WRONG)
    path.write_text('[slow]\nquick = 3\n[logging]\nlevel = "DEBUG"\n[application]\npush_timeout = 7\n')
    app.wait_for(f'push_timeout: "10 min" -> 7 ({path}:6)')
    app.wait_for(f"quick: 0 -> 3 ({path}:2) takes effect after a restart")
    for node in ("MasterNode", "SlaveNode"):
        app.wait_for(f'DEBUG {node}  config changed: [logging] level: "INFO" -> "DEBUG"')
    report = app.ends_well()
    assert set(report["ends"].values()) == {1}
    assert len(report["results"]) == 16
    assert app.output.count("INFO  config changed: [application] push_timeout") == 1
    assert app.output.count("WARNING config changed") == 1
    # The nodes that it started know nothing of its options, and nothing is wrong with that.
    assert "unknown" not in app.output


def test_a_hangup_ends_an_application_that_has_no_config(swarm: Swarm) -> None:
    app = swarm.run("slow.py:SlowTasks", "slow.seconds=600", workers=1)
    until(lambda: swarm.probes("start-*"), what=str(app))
    app.send(signal.SIGHUP)
    assert app.finish() == 130
    swarm.check_nothing_left()


def test_a_terminal_that_closes_ends_an_application_that_has_a_config(swarm: Swarm) -> None:
    env = swarm.folder / "env"
    assert swarm.command("env", "create", str(env)).finish() == 0
    master, slave = os.openpty()
    script = (
        "import fcntl, os, sys, termios\n"
        "os.setsid()\n"
        "fcntl.ioctl(os.open(sys.argv[1], os.O_RDWR), termios.TIOCSCTTY, 0)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'concurrence.cli.main', *sys.argv[2:]])\n"
    )
    place = str(Path(__file__).parent / "apps" / "slow.py:SlowTasks")
    words = ["-c", script, os.ttyname(slave), "run", place, "--env", str(env), "--workers", "1"]
    app = swarm.start(*words, "--set", "slow.seconds=600")
    os.close(slave)
    until(lambda: swarm.probes("start-*"), what=str(app))
    os.close(master)
    assert app.finish() == 130
    swarm.check_nothing_left()
