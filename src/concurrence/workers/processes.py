"""The owner's side of a template process: start it, have it fork children, hear of their ends, stop it."""

from __future__ import annotations

import os
import select
import signal
import site
import socket
import subprocess
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from concurrence.errors import WorkerStartFailed
from concurrence.transport.api import IReactor
from concurrence.wire.codec import Parcel, decoder_from_template, encode
from concurrence.wire.messages import ChildExited, ChildStarted, SignalChild, StartChild, StopChild, ToTemplate
from concurrence.workers.template import MAX_PACKET, NO_FOLDERS

_THREAD_COUNTS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_MODULE = "concurrence.workers.template"


class Template:
    """A template process and the children that it forks. All of it is for the poll loop's own thread.

    Args:
        reactor: The owner's poll loop.
        preload: Modules that every child needs: what the template imported a child need not.
        on_started: Called with a child's number and process id.
        on_exited: Called once for every child that was started, unless the template dies or is stopped.
        on_died: Called with the reason when the template itself ended unasked; its children are dead or dying.
        folders: Where each child gets a folder for its temporary files, removed with it: empty for the system's
            place; None for no such folders.
    """

    def __init__(
        self,
        reactor: IReactor,
        *,
        preload: Sequence[str],
        on_started: Callable[[int, int], None],
        on_exited: Callable[[ChildExited], None],
        on_died: Callable[[str], None],
        folders: str | None = None,
    ) -> None:
        self._reactor = reactor
        self._preload = preload
        self._on_started = on_started
        self._on_exited = on_exited
        self._on_died = on_died
        self._folders = NO_FOLDERS if folders is None else folders
        self._decoder = decoder_from_template()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._unsent: deque[tuple[bytes, list[int]]] = deque()

    @property
    def pid(self) -> int | None:
        """The template's process id; None unless it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the template process.

        Raises:
            WorkerStartFailed: The system refuses another process.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    # -P: what lies in the working directory must not stand in for the standard library.
                    [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno()), self._folders, *self._preload],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    env=_environment(),
                )
            except OSError as error:
                ours.close()
                raise WorkerStartFailed(
                    f"the template process of the workers cannot be started: {error}",
                    hint=f"Check that {sys.executable} can be run, and the limits on processes and memory.",
                ) from error
        ours.setblocking(False)
        self._control = ours
        self._reactor.register(ours.fileno(), self._on_readable)

    def start_child(self, number: int, kind: str, spec: bytes, descriptors: Sequence[int]) -> None:
        """Fork a child.

        Args:
            number: The owner's number for it; never used again.
            kind: What people call it: ``worker`` or ``host``.
            spec: See :mod:`concurrence.workers.template`.
            descriptors: For the child, in the order that its entry expects; they are closed here.

        Raises:
            WorkerStartFailed: The spec is too large, or there is no template.
        """
        try:
            self._send(StartChild(number, kind, spec), descriptors)
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise

    def signal_child(self, number: int, number_of_signal: int) -> None:
        """Send a signal to a child's process group; nothing if it has ended."""
        if self._control is not None:
            self._send(StopChild(number, number_of_signal), ())

    def signal_alone(self, number: int, number_of_signal: int) -> None:
        """Send a signal to a child and not to what it started; nothing if it has ended."""
        if self._control is not None:
            self._send(SignalChild(number, number_of_signal), ())

    def wait(self, seconds: float) -> None:
        """Outside the poll loop, while stopping: wait for news of the children and handle them."""
        if self._control is not None and select.select([self._control], [], [], max(0.0, seconds))[0]:
            self._on_readable()

    def stop(self, deadline: float) -> None:
        """Kill all children and end the template; both are gone when this returns.

        Args:
            deadline: Seconds after which the template itself is killed, and the kernel kills its children.
        """
        control, process = self._control, self._process
        if process is None:
            return
        if control is not None:
            self._forget_control(control)
            control.close()  # its end is as good as a goodbye, and needs no room in a buffer
        self._end_process(process, deadline)

    def _end_process(self, process: subprocess.Popen[bytes], deadline: float) -> int:
        self._process = None
        try:
            return process.wait(deadline)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()

    def _send(self, message: ToTemplate, descriptors: Sequence[int]) -> None:
        control = self._control
        if control is None:
            raise WorkerStartFailed("there is no template process to fork a child")
        packet = encode([Parcel(message)])[0]
        if len(packet) > MAX_PACKET:
            raise WorkerStartFailed(f"a child's spec of {len(packet)} bytes is too large: at most {MAX_PACKET}")
        self._unsent.append((bytes(packet), list(descriptors)))
        if len(self._unsent) == 1:
            self._flush()

    def _flush(self) -> None:
        control = self._control
        while self._unsent and control is not None:
            packet, descriptors = self._unsent[0]
            try:
                socket.send_fds(control, [packet], descriptors)
            except BlockingIOError:
                self._reactor.watch_writable(control.fileno(), self._flush)
                return
            except ConnectionError:
                return  # the end of the stream tells the rest
            self._unsent.popleft()
            for descriptor in descriptors:
                os.close(descriptor)
        if control is not None:
            self._reactor.watch_writable(control.fileno(), None)

    def _on_readable(self) -> None:
        while (control := self._control) is not None:
            try:
                packet = control.recv(MAX_PACKET)
            except BlockingIOError:
                return
            except ConnectionError:
                packet = b""
            if not packet:
                self._died(control)
                return
            for parcel in self._decoder.decode([packet]):
                if isinstance(parcel.message, ChildStarted):
                    self._on_started(parcel.message.number, parcel.message.pid)
                else:
                    self._on_exited(parcel.message)

    def _died(self, control: socket.socket) -> None:
        self._forget_control(control)
        control.close()
        code = self._end_process(self._process, 1.0) if self._process is not None else 0
        self._on_died(describe_exit(code))

    def _forget_control(self, control: socket.socket) -> None:
        self._reactor.unregister(control.fileno())
        self._control = None
        for _, descriptors in self._unsent:
            for descriptor in descriptors:
                os.close(descriptor)
        self._unsent.clear()


def describe_exit(code: int) -> str:
    """How a process ended, for people: its exit code or the signal's name."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal"
    return f"was killed by {name} ({-code})"


def _environment() -> dict[str, str]:
    """The environment of a template: this one, and what its children need.

    Numerical libraries would start a thread per core in every worker; the workers already use all cores.
    """
    environment = dict.fromkeys(_THREAD_COUNTS, "1") | dict(os.environ)
    root = str(Path(__file__).resolve().parents[2])
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    if root not in _installed_roots() and root not in paths:
        environment["PYTHONPATH"] = os.pathsep.join([*paths, root])
    return environment


def _installed_roots() -> set[str]:
    """Where the child looks without being told; naming it would put it before the standard library."""
    known = [
        *site.getsitepackages(),
        site.getusersitepackages(),
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
    ]
    return {str(Path(path).resolve()) for path in known}
