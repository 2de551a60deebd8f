"""Every fenced code block of the README and of docs/ is run, one document after the other in a folder of its own.

- ``python`` blocks are scripts that must end with 0. One that opens with a comment like ``# primes.py`` is kept
  under that name for the commands that follow; so is a ``toml`` block, which must be valid TOML.
- In ``console`` blocks the lines behind ``$``, and in ``bash`` blocks all lines, are commands. Those of
  ``concurrence`` and ``python FILE`` are run in order; servers run in the background and are stopped by SIGINT
  at the end of the block. ``scp -p FILE HOST:`` copies into the folder, which stands for both machines.
- What else a command may be is listed in NOT_RUN. ``text`` blocks are output.

Only the line ``<!-- not run: reason -->`` before a block exempts it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
NOT_RUN = ("pip", "pytest", "apt-get", "git clone", "python3 -m venv")
SERVERS = ("master", "slave", "worker")
FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})(?P<language>[\w-]*)[^`]*$")
MARKER = re.compile(r"^<!-- not run: (?P<reason>\S.*) -->$")
FILE_NAME = re.compile(r"^# (?P<name>[\w.-]+\.(?:py|toml))$")
SECONDS_PER_COMMAND = 240.0
SECONDS_TO_START = 30.0
SECONDS_TO_STOP = 20.0


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    place: str
    language: str
    lines: list[str]
    is_exempt: bool

    @property
    def text(self) -> str:
        return "\n".join([*self.lines, ""])


def blocks_of(document: Path) -> Iterator[Block]:
    lines = iter(enumerate(document.read_text("utf-8").splitlines(), 1))
    previous = ""
    for number, line in lines:
        opening = FENCE.match(line.strip())
        if opening:
            place = f"{document.name}:{number}"
            inside: list[str] = []
            for _, inner in lines:
                if inner.strip() == opening["fence"]:
                    break
                inside.append(inner)
            else:
                pytest.fail(f"{place}: the code block does not end")
            yield Block(place, opening["language"], inside, MARKER.match(previous) is not None)
        if line.strip():
            previous = line.strip()


def environment() -> dict[str, str]:
    """Without settings of the caller's; commands are those installed beside this interpreter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONCURRENCE_")}
    programs = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PATH": programs, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def commands_of(block: Block) -> Iterator[list[str]]:
    """The words of each single command; ``a && b`` is two."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ ")]
    for line in lines:
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word != "&&":
                words.append(word)
            elif words:
                yield words
                words = []


def finish(words: list[str], folder: Path, variables: dict[str, str], place: str) -> None:
    """Run a command that must end by itself with 0."""
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env=environment() | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS_PER_COMMAND,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"{place}: {shlex.join(words)} did not end within {error.timeout} s:\n{error.output}")
    assert done.returncode == 0, f"{place}: {shlex.join(words)} ended with {done.returncode}:\n{done.stdout}"


@contextmanager
def server(words: list[str], folder: Path, variables: dict[str, str], place: str) -> Generator[None]:
    """Run a server from its first line of output until SIGINT."""
    log = folder / f".{words[1]}-{len(list(folder.glob('.*.log')))}.log"
    what = f"{place}: {shlex.join(words)}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment() | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_output(process, log, what)
        yield
        assert process.poll() is None, f"{what} ended with {process.returncode}:\n{log.read_text()}"
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{what} did not stop within {SECONDS_TO_STOP} s:\n{log.read_text()}")
        assert code in (0, 130), f"{what} ended with {code} after SIGINT:\n{log.read_text()}"
    finally:
        process.kill()
        process.wait()


def wait_for_output(process: subprocess.Popen[bytes], log: Path, what: str) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while log.stat().st_size == 0:
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            assert time.monotonic() < deadline, f"{what} printed nothing within {SECONDS_TO_START} s"
        else:
            pytest.fail(f"{what} ended with {process.returncode}:\n{log.read_text()}")


def run_command(words: list[str], folder: Path, servers: ExitStack, place: str) -> None:
    variables: dict[str, str] = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    words = [words[0].removeprefix(".venv/bin/"), *words[1:]]
    strange = set(words) & {"|", ">", ">>", "<", "&", ";", "||"}
    assert not strange, f"{place}: only && is understood between commands, not {strange}"
    match words:
        case ["concurrence", command, *rest] if command in SERVERS and "--help" not in rest:
            servers.enter_context(server(words, folder, variables, place))
        case ["concurrence", *_]:
            finish(words, folder, variables, place)
        case ["python" | "python3", script, *_] if script.endswith(".py"):
            finish([sys.executable, *words[1:]], folder, variables, place)
        case ["scp", "-p", source, target] if target.endswith(":"):
            copied = folder / source
            deadline = time.monotonic() + SECONDS_TO_START
            while not copied.exists():  # a server may say something before it has written all its files
                assert time.monotonic() < deadline, f"{place}: there is no {source}"
                time.sleep(0.05)
            shutil.copy(copied, folder / copied.name)
        case _:
            plain = shlex.join(words).removeprefix("sudo ")
            is_known = any(f"{plain} ".startswith(f"{known} ") for known in NOT_RUN)
            assert is_known, f"{place}: {plain}: neither run nor in NOT_RUN"


def run_block(block: Block, folder: Path) -> None:
    name = FILE_NAME.match(block.lines[0]) if block.lines else None
    match block.language:
        case "python":
            script = folder / (name["name"] if name else "block.py")
            script.write_text(block.text, "utf-8")
            finish([sys.executable, script.name], folder, {}, block.place)
        case "toml":
            tomllib.loads(block.text)
            if name:
                (folder / name["name"]).write_text(block.text, "utf-8")
        case "console" | "bash":
            with ExitStack() as servers:
                for words in commands_of(block):
                    run_command(words, folder, servers, block.place)
        case "text":
            pass
        case other:
            pytest.fail(f"{block.place}: what is a code block of language {other!r}? Known: {__doc__}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "document",
    [
        # What a newcomer reads first is tried each time.
        pytest.param(path, marks=() if path.name in ("README.md", "tutorial.md") else pytest.mark.sampled)
        for path in DOCUMENTS
    ],
    ids=[path.relative_to(ROOT).as_posix() for path in DOCUMENTS],
)
def test_what_a_document_says_works(document: Path, tmp_path: Path) -> None:
    blocks = list(blocks_of(document))
    assert blocks or document.name != "README.md", "the README has no code block any more"
    for block in blocks:
        if not block.is_exempt:
            run_block(block, tmp_path)


def written(folder: Path, text: str) -> Block:
    document = folder / "x.md"
    document.write_text(text)
    (block,) = blocks_of(document)
    return block


def test_a_failing_script_fails(tmp_path: Path) -> None:
    run_block(written(tmp_path, "```python\n# a.py\nprint(1)\n```\n"), tmp_path)
    run_block(written(tmp_path, "```console\n$ python a.py  # comment\n1\n```\n"), tmp_path)
    with pytest.raises(AssertionError, match=r"x\.md:1: .* ended with 3"):
        run_block(written(tmp_path, "```python\nraise SystemExit(3)\n```\n"), tmp_path)


def test_an_unknown_program_fails(tmp_path: Path) -> None:
    run_block(written(tmp_path, "```bash\npython3 -m venv .venv && .venv/bin/pip install -q .\n```\n"), tmp_path)
    with pytest.raises(AssertionError, match="NOT_RUN"):
        run_block(written(tmp_path, "```bash\npip install . && rm x\n```\n"), tmp_path)


def test_an_unknown_language_fails(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="'rust'"):
        run_block(written(tmp_path, "```rust\n```\n"), tmp_path)


def test_only_a_reason_exempts_a_block(tmp_path: Path) -> None:
    assert written(tmp_path, "<!-- not run: it needs two machines -->\n\n```bash\nx\n```\n").is_exempt
    assert not written(tmp_path, "<!-- not run: -->\n```bash\nx\n```\n").is_exempt


def test_a_server_that_ends_at_once_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(pytest.fail.Exception, match="ended with 4"),
        server([sys.executable, "-c", "raise SystemExit(4)"], tmp_path, {}, "here"),
    ):
        pass
