"""Nodes that other nodes start as processes of their own: what parent and child tell each other.

One socket pair is everything between them: the parent sends a :class:`LaunchSpec`, the child answers with
:class:`Ready` or :class:`Failed`, and when either end is gone the other knows it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TypeAlias

import msgspec
from msgspec import Struct

from concurrence.errors import ConcurrenceError, ConnectionFailed, WorkerStartFailed
from concurrence.transport.security import Credentials, KeyPair, Role
from concurrence.workers.processes import describe_exit

_MODULE = "concurrence.nodes.process"
MAX_PACKET = 131_072


class Access(Struct, frozen=True):
    """Credentials as they travel between parent and child.

    Attributes:
        address: The master's.
        server_key: The master's public key.
        role: What the key allows.
        public: The public key.
        secret: The secret key.
    """

    address: str
    server_key: str
    role: str
    public: str
    secret: str

    @classmethod
    def of(cls, credentials: Credentials) -> Access:
        """From credentials."""
        keys = credentials.keys
        return cls(credentials.address, credentials.server_key, credentials.role.value, keys.public, keys.secret)

    def credentials(self) -> Credentials:
        """To credentials."""
        return Credentials(self.address, self.server_key, Role(self.role), KeyPair(self.public, self.secret))


class LaunchSpec(Struct, frozen=True):
    """What a parent asks of a node that it starts.

    Attributes:
        app: The node's component.
        environment: The folder of the environment; None for a temporary one.
        removes: Whether the folder is removed at the end: it is temporary, and the parent may be gone by then.
        config_files: Further config files.
        overrides: Texts ``section.name=value``.
        private: A master that keeps nothing, listens on loopback at a free port, with keys of its own.
        access: How a slave reaches its master.
        log_level: The least important messages that it logs.
        name: The name that people see; empty for the default.
    """

    app: str
    environment: str | None = None
    config_files: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    private: bool = False
    access: Access | None = None
    log_level: str = "WARNING"
    name: str = ""
    removes: bool = False


class Ready(Struct, frozen=True, tag="ready"):
    """The node is up; a master says how clients reach it."""

    access: Access | None = None


class Failed(Struct, frozen=True, tag="failed"):
    """The node could not start."""

    message: str
    hint: str
    exit_code: int


class Dismissed(Struct, frozen=True, tag="dismissed"):
    """The node ends because an administrator told it to: nobody should start another one in its place."""


Answer: TypeAlias = Ready | Failed | Dismissed
_answer_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Ready | Failed | Dismissed)


class Launch:
    """The child's end.

    Args:
        control: The socket to the parent.
        spec: What the parent asked for.
    """

    def __init__(self, control: socket.socket, spec: LaunchSpec) -> None:
        self.control = control
        self.spec = spec

    def answer(self, answer: Answer) -> None:
        """Tell the parent; a parent that is gone is noticed by the poll loop."""
        try:
            self.control.send(msgspec.msgpack.encode(answer))
        except OSError:
            return


class LaunchFailed(ConcurrenceError):
    """The node that was started said why it could not: its text and hint are its own."""


class ChildDismissed(ConcurrenceError):
    """Nobody's fault: the node that was started was told to end by somebody who may do that."""


class ChildNode:
    """The parent's end: a node started as a process of its own.

    Args:
        title: What errors call it.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    # -P: what lies in the working directory must not stand in for the standard library.
                    [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr.fileno() if _has_descriptor() else None,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C in the terminal is for the parent, which stops this one
                )
            except OSError as error:
                self._control.close()
                raise WorkerStartFailed(f"{title} cannot be started: {error}") from error

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Readable when it has answered or ended."""
        return self._control.fileno()

    def launch(self, spec: LaunchSpec) -> None:
        """Say what it is to be; it has been importing since it was started."""
        try:
            self._control.send(msgspec.msgpack.encode(spec))
        except OSError as error:
            raise WorkerStartFailed(f"{self._title} ended while it was starting: {error}") from error

    def wait_ready(self, timeout: float) -> Ready:
        """Wait until it is up.

        Args:
            timeout: Seconds.

        Raises:
            LaunchFailed: It said why it could not start.
            WorkerStartFailed: It ended without a word, or did not answer in time.
        """
        self._control.settimeout(timeout)
        try:
            packet = self._control.recv(MAX_PACKET)
        except TimeoutError:
            raise WorkerStartFailed(
                f"{self._title} (process {self.pid}) was not ready within {timeout:.0f} s",
                hint="Is the machine overloaded? Set [logging] level = DEBUG to see more.",
            ) from None
        except ConnectionError:
            packet = b""
        if not packet:
            ended = describe_exit(self._process.wait())
            raise WorkerStartFailed(f"{self._title} {ended} while it was starting")
        answer = _answer_decoder.decode(packet)
        if isinstance(answer, Failed):
            raise _launch_failed(answer)
        if isinstance(answer, Dismissed):
            raise ChildDismissed(f"{self._title} was told to end while it was starting")
        return answer

    def wait_end(self, timeout: float) -> ConcurrenceError | None:
        """Wait for its end, which was not asked for.

        Args:
            timeout: Seconds.

        Returns:
            Why it ended, in its own words if it said any; None if it still runs.
        """
        try:
            ended = describe_exit(self._process.wait(timeout))
        except subprocess.TimeoutExpired:
            return None
        try:
            packet = self._control.recv(MAX_PACKET, socket.MSG_DONTWAIT)
        except OSError:
            packet = b""
        answer = _answer_decoder.decode(packet) if packet else None
        if isinstance(answer, Failed):
            return _launch_failed(answer)
        if isinstance(answer, Dismissed):
            return ChildDismissed(f"{self._title} (process {self.pid}) ended as it was told to")
        return ConnectionFailed(f"{self._title} (process {self.pid}) {ended}")

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def stop(self, deadline: float = 5.0) -> int:
        """Close this end, which asks it to stop; end it by force if it does not. Repeatable.

        Args:
            deadline: Seconds that it has.

        Returns:
            Its exit code, or minus a signal's number.
        """
        self._control.close()
        until = time.monotonic() + deadline
        for number in (None, signal.SIGTERM):
            if number is not None and self._process.poll() is None:
                self._process.send_signal(number)
            try:
                return self._process.wait(max(0.1, (until - time.monotonic()) / (2 if number is None else 1)))
            except subprocess.TimeoutExpired:
                continue
        self._process.kill()
        return self._process.wait()


def _launch_failed(answer: Failed) -> LaunchFailed:
    error = LaunchFailed(answer.message, hint=answer.hint)
    error.exit_code = answer.exit_code
    return error


def _has_descriptor() -> bool:
    """Whether standard error is a real file: in notebooks and under test runners it may not be."""
    try:
        os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return True
