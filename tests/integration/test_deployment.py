"""What lies in deploy/: the units, the image, the compose file and the proxy do what docs/deployment.md says."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.request
import venv
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import typer
import yaml
from swarmkit import Program, Swarm, free_port, until

from concurrence.cli.main import app
from concurrence.env.config_report import known_options
from concurrence.env.environment import Environment

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = DEPLOY / "systemd"
PAGE = (ROOT / "docs" / "deployment.md").read_text("utf-8")
PROGRAM = "/opt/concurrence/bin/concurrence"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def settings(unit: str) -> dict[str, list[str]]:
    """What a unit says: all values by name."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text("utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


# What RestrictAddressFamilies= does: other families than those named cannot be had. Then the command.
RESTRICTED = """
import ctypes, socket, struct, sys

number, families = int(sys.argv[1]), [int(getattr(socket, name)) for name in sys.argv[2].split(",")]
steps = [(0x20, 0, 0, 0), (0x15, 0, len(families) + 2, number), (0x20, 0, 0, 16)]
steps += [(0x15, len(families) - at, 0, family) for at, family in enumerate(families)]
steps += [(0x06, 0, 0, 0x50000 | 97), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
libc = ctypes.CDLL(None, use_errno=True)
head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program)))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, head, 0, 0):
    sys.exit(f"no seccomp: {ctypes.get_errno()}")
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    sys.exit("not restricted")
except OSError as error:
    assert error.errno == 97, error
sys.argv = ["concurrence", *sys.argv[3:]]
from concurrence.cli.main import main
main()
"""
SOCKET = {"x86_64": 41, "aarch64": 198}
"""The number of the system call."""


def test_the_page_names_every_file() -> None:
    files = {path.name for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".dockerignore"}
    assert not {name for name in files if name not in PAGE and name != "compose.yaml"}
    assert "docker compose" in PAGE
    assert not [name for name in re.findall(r"deploy/[\w./@-]*\w", PAGE) if not (ROOT / name).exists()]


# --- systemd ---


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    for unit in UNITS.iterdir():
        text = unit.read_text("utf-8").replace(PROGRAM, "/bin/true")
        (tmp_path / unit.name).write_text(text, "utf-8")
    names = [unit.name.replace("@.", "@swarm.") for unit in sorted(UNITS.iterdir())]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "concurrence" in line]
    assert done.returncode == 0, done.stderr
    assert not ours


def test_what_the_page_says_of_the_units_is_so() -> None:
    table = PAGE.partition("## What the units say")[2].partition("\n##")[0]
    said = re.findall(r"`([A-Z]\w+)=([^`]+)`", table)
    text = "".join(unit.read_text("utf-8") for unit in UNITS.iterdir())
    assert len(said) > 5
    assert not [f"{name}={value}" for name, value in said if f"\n{name}={value}\n" not in text and value != "4"]


def of_unit(unit: str, swarm: Swarm, *more: str) -> Program:
    """Start what a unit starts, with the folders of this test for those of the machine."""
    (words,) = settings(unit)["ExecStart"]
    program, *arguments = shlex.split(words.replace("/var/lib/", f"{swarm.folder}/lib/").replace("%i", "swarm"))
    assert program == PROGRAM
    (folder,) = settings(unit)["WorkingDirectory"]
    place = folder.removeprefix("/var/")
    families = settings(unit).get("RestrictAddressFamilies", [])
    if not families or platform.machine() not in SOCKET:
        return swarm.command(*arguments, *more, folder=place)
    named = families[0].replace(" ", ",")
    return swarm.start("-c", RESTRICTED, str(SOCKET[platform.machine()]), named, *arguments, *more, folder=place)


def reload(unit: str, program: Program) -> None:
    assert settings(unit)["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    program.send(signal.SIGHUP)
    program.wait_for("reading the config again: SIGHUP")


def test_the_units_run_a_swarm(swarm: Swarm) -> None:
    master_unit, slave_unit = "concurrence-master.service", "concurrence-slave@.service"
    master = of_unit(master_unit, swarm, "--port", "0")
    master.wait_for("Ctrl-C")
    connect = swarm.folder / "lib" / "concurrence" / "swarm" / "connect"
    env = swarm.folder / "lib" / "concurrence-slave" / "swarm"
    env.parent.mkdir()
    assert swarm.command("env", "create", str(env)).finish() == 0
    shutil.copy(connect / "slave.toml", env / "connect" / "slave.toml")
    slave = of_unit(slave_unit, swarm)
    slave.wait_for("registered with the master")
    assert swarm.command("run", "hello", "--master", str(connect / "client.toml")).finish() == 0
    reload(master_unit, master)
    reload(slave_unit, slave)
    for program in (slave, master):  # what Restart=on-failure takes for a success
        program.send(signal.SIGTERM)
        assert program.finish() == 0, str(program)
    backup = of_unit("concurrence-backup.service", swarm)
    assert backup.finish() == 0, str(backup)
    made = list((swarm.folder / "lib" / "concurrence").glob("swarm-backup-*.tar.gz"))
    assert len(made) == 1
    assert made[0].stat().st_mode & 0o777 == 0o600


def test_a_wrong_config_ends_a_unit_with_the_code_that_is_not_restarted(swarm: Swarm) -> None:
    unit = "concurrence-master.service"
    master = of_unit(unit, swarm, "--set", "masternode.port=many")
    assert str(master.finish()) in settings(unit)["RestartPreventExitStatus"], str(master)
    unit = "concurrence-slave@.service"
    slave = of_unit(unit, swarm)  # it has no environment yet
    assert str(slave.finish()) in settings(unit)["RestartPreventExitStatus"], str(slave)


def test_old_backups_are_removed(tmp_path: Path) -> None:
    (words,) = settings("concurrence-backup.service")["ExecStartPost"]
    for number in range(33):
        path = tmp_path / f"swarm-backup-{number}.tar.gz"
        path.touch()
        os.utime(path, (number, number))
    other = tmp_path / "swarm.tar.gz"
    other.touch()
    subprocess.run(shlex.split(words), cwd=tmp_path, timeout=60, check=True)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {other.name, *(f"swarm-backup-{number}.tar.gz" for number in range(3, 33))}


# --- containers ---


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))


def test_the_compose_file_says_what_there_is() -> None:
    services: dict[str, dict[str, Any]] = compose()["services"]
    assert services.keys() == {"master", "slave"}
    for service in services.values():
        name, *arguments = service["command"]
        command = cast("Any", typer.main.get_command(app)).commands[name]
        with command.make_context(name, list(arguments)):
            pass  # it would refuse an argument that it does not know
        assert (ROOT / "deploy" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert service["init"] is True
    with Environment.ephemeral() as environment:
        options = {(each.section, each.name) for each in known_options(environment)}
    variables = [name for service in services.values() for name in service["environment"]]
    for variable in variables:
        section, _, option = variable.removeprefix("CONCURRENCE_").lower().partition("__")
        assert (section, option) in options, variable


def test_a_slave_s_secret_lies_where_it_looks_and_its_end_is_waited_for() -> None:
    slave = compose()["services"]["slave"]
    assert [f"/run/secrets/{name}" for name in slave["secrets"]] == [slave["command"][-1]]
    assert set(slave["secrets"]) <= compose()["secrets"].keys()
    assert slave["environment"]["CONCURRENCE_SLAVENODE__STOP_GRACE"] == "5 min"
    assert int(slave["stop_grace_period"].removesuffix("s")) > 5 * 60


def test_a_master_in_a_container_is_well_and_published_as_the_page_says(swarm: Swarm) -> None:
    service = compose()["services"]["master"]
    assert service["ports"] == ["7700:7700", "7701:7701", "127.0.0.1:7780:7780"]
    port = free_port()
    variables = {
        name: str(value).replace("${SWARM_HOST:-master}", "master")
        for name, value in service["environment"].items()
    }
    variables |= {"CONCURRENCE_API__PORT": str(port), "CONCURRENCE_MASTERNODE__WORK_PORT": "0"}
    name, *arguments = [word.replace("/var/lib/concurrence", str(swarm.folder)) for word in service["command"]]
    master = swarm.command(name, *arguments, "--port", "0", **variables)
    swarm.adopt(master)
    master.wait_for("Ctrl-C")
    assert "tcp://master:" in (swarm.folder / "swarm" / "connect" / "slave.toml").read_text("utf-8")
    kind, program, *check = service["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    subprocess.run([sys.executable, *(word.replace("7780", str(port)) for word in check)], timeout=60, check=True)


def instructions() -> list[tuple[str, str]]:
    """The lines of the Containerfile, each as its first word and the rest."""
    text = (DEPLOY / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def copied() -> list[str]:
    """What the image is built from."""
    copies = [rest.split() for name, rest in instructions() if name == "COPY" and not rest.startswith("--from")]
    return [source for *sources, _ in copies for source in sources]


def test_the_image_is_made_of_what_travels_to_the_builder() -> None:
    known = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "USER", "WORKDIR"}
    assert {name for name, _ in instructions()} <= known
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    assert [line[1:] for line in ignored if line.startswith("!")] == copied()
    users = [rest for name, rest in instructions() if name == "USER"]
    assert users == ["10001:10001"]
    assert any("--uid 10001 " in rest for name, rest in instructions() if name == "RUN")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_image_s_steps_install_a_node(tmp_path: Path) -> None:
    """As far as that can be tried without a container engine: from what is copied, in a fresh Python."""
    source = tmp_path / "src"
    source.mkdir()
    for name in copied():
        whole = ROOT / name
        (shutil.copytree if whole.is_dir() else shutil.copy)(whole, source / name)
    target = tmp_path / "opt"
    (step,) = [rest for name, rest in instructions() if name == "RUN" and "-m venv" in rest]
    for words in (shlex.split(part) for part in step.replace("/opt/concurrence", str(target)).split(" && ")):
        if words[:3] == ["python", "-m", "venv"]:
            venv.create(words[3], with_pip=True, symlinks=True)
        else:
            subprocess.run(words, cwd=source, timeout=300, check=True)
    command = json.loads(next(rest for name, rest in instructions() if name == "ENTRYPOINT"))
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("CONCURRENCE_", "PYTHON"))}
    for arguments in (
        ["--version"],
        ["run", "hello", "--workers", "1"],
        ["run", "hello", "--set", "node.transport=tcp"],
    ):
        subprocess.run([target / "bin" / command[0], *arguments], cwd=tmp_path, env=plain, timeout=120, check=True)


# --- the proxy ---


@contextmanager
def nginx(site: Path, folder: Path) -> Generator[None]:
    """nginx with one site, until the end of the block."""
    config = folder / "nginx.conf"
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"pid {folder}/pid; error_log {folder}/errors; daemon off; master_process off; events {{}}\n"
        f"http {{ access_log off; {paths} include {site}; }}\n"
    )
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(config), "-e", str(folder / "errors")])
    try:
        until(lambda: (folder / "pid").exists() or process.poll() is not None, what="nginx starts")
        assert process.poll() is None, (folder / "errors").read_text()
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.skipif(NGINX is None, reason="there is no nginx")
def test_the_proxy_hands_on_what_the_api_says(swarm: Swarm, tmp_path: Path) -> None:
    host, port, api_port = "swarm.example.org", free_port(), free_port()
    master = swarm.master(f"api.port={api_port}", f"api.allowed_hosts={host}")
    folder = tmp_path / "nginx"
    folder.mkdir()
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={host} -addext subjectAltName=DNS:{host}"
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run([*make.split(), *files], timeout=60, check=True, capture_output=True)
    site = folder / "site.conf"
    text = (DEPLOY / "nginx" / "concurrence.conf").read_text("utf-8")
    for was, now in (("443", f"127.0.0.1:{port}"), ("/etc/ssl/swarm", str(folder)), ("7780", str(api_port))):
        assert was in text
        text = text.replace(was, now)
    site.write_text(text)
    token = swarm.credentials("client").token
    with nginx(site, folder):
        for path, secret in (("/health", ""), ("/status", token), ("/events", token)):
            request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers={"Host": host})
            if secret:
                request.add_header("Authorization", f"Bearer {secret}")
            trust = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
            trust.check_hostname = False
            with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
                assert answer.status == 200
                # Of the events the first line comes although the answer does not end.
                assert answer.readline()
    assert master.runs
