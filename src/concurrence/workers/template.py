"""The template process: small, with one thread, and warm; it forks the workers and hosts of a node.

Run as ``python -m concurrence.workers.template DESCRIPTOR FOLDERS MODULE...``, with its end of a sequenced-packet
socket pair, where its children's temporary files go, and the modules that every child needs.
It exists because a node has threads and sockets, and a process with threads cannot fork safely. Nothing
that it starts outlives it, and it does not outlive its owner: the kernel closes the socket pair and tells
it of the owner's death, and it kills the process groups of its children; if it is killed itself, the
kernel kills its children.

A child's spec is a msgpack map with at least ``entry``, as ``module:function``. The function is called in
the child with the spec's bytes and the child's file descriptors, and returns its exit code or None.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import os
import random
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TextIO, TypeAlias, cast

import msgspec

from concurrence.wire.codec import Parcel, decoder_to_template, encode
from concurrence.wire.messages import Bye, ChildExited, ChildStarted, Message, SignalChild, StartChild, StopChild
from concurrence.workers import groups
from concurrence.workers.folders import PrivateFolders, use

Entry: TypeAlias = Callable[[bytes, list[int]], int | None]
"""What a child runs: takes its spec and its descriptors, gives its exit code."""

MAX_PACKET: Final = 128 * 1024
"""What a socket pair takes in one packet, whatever the system's settings."""
MAX_DESCRIPTORS: Final = 8
NO_FOLDERS: Final = "-"
"""In the place of the folder for temporary files: children have none of their own."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OWNER_DIED = signal.SIGUSR1
_HANDLED = (signal.SIGCHLD, signal.SIGTERM, _OWNER_DIED)
_ROUNDS = 100
_CANNOT_FORK = 71  # EX_OSERR


class ChildSpec(msgspec.Struct):
    """What every child's spec says; a kind of child adds its own to it.

    Attributes:
        entry: The function to call in the child, as ``module:function``.
    """

    entry: str


class Child(NamedTuple):
    """What a freshly forked child is to do."""

    spec: bytes
    descriptors: list[int]
    folder: Path | None


class TemplateProcess:
    """The loop of the template process.

    Args:
        control: Its end of the socket pair.
        folders: Makes a folder for the temporary files of each child; None if they have none of their own.
    """

    def __init__(self, control: socket.socket, folders: PrivateFolders | None = None) -> None:
        self._control = control
        self._folders = folders
        self._owner = os.getppid()
        self._pids: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._is_over = False
        self._wake_up, self._woken = socket.socketpair()
        self._decoder = decoder_to_template()

    def run(self) -> Child | None:
        """Serve until the owner says so or is gone; in a forked child, return at once with what it is to do."""
        self._set_up_signals()
        if self._folders is not None:
            self._folders.sweep()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while not self._is_over:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._woken.fileno() in ready:
                self._woken.recv(4096)
                self._reap()
            if self._control.fileno() in ready and not self._is_over:
                child = self._receive()
                if child is not None:
                    return child
        self._end_children()
        return None

    def _set_up_signals(self) -> None:
        self._wake_up.setblocking(False)
        self._woken.setblocking(False)
        signal.set_wakeup_fd(self._wake_up.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGCHLD, self._on_signal)
        signal.signal(_OWNER_DIED, self._on_signal)
        # Not SIGKILL, as for the children: what a task started for itself has to be killed by somebody. The
        # end of the socket pair covers an owner that died before this line.
        die_with_parent(_OWNER_DIED)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def _on_signal(self, number: int, _frame: object) -> None:
        # The kernel also sends this when only the thread ended that started the template.
        if number == signal.SIGTERM or (number == _OWNER_DIED and os.getppid() != self._owner):
            self._is_over = True

    def _receive(self) -> Child | None:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._control, MAX_PACKET, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            data, descriptors = b"", []
        if not data:
            self._is_over = True
            return None
        (parcel,) = self._decoder.decode([data])
        match parcel.message:
            case StartChild() as message:
                return self._start(message, descriptors)
            case StopChild() as message:
                self._signal(message)
            case SignalChild():
                self._signal_alone(parcel.message)
            case Bye():
                self._is_over = True
        return None

    def _start(self, message: StartChild, descriptors: list[int]) -> Child | None:
        _flush_streams()
        template = os.getpid()
        # Held back until the child has its own handlers: one that runs the template's would lose a signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            pid = os.fork()
            if not pid:
                self._become_child(template, descriptors)
                folder = self._folders.path(message.number) if self._folders is not None else None
                return Child(message.spec, descriptors, folder)
        except OSError as error:
            print(f"concurrence: a {message.kind} cannot be forked: {error}", file=sys.stderr)  # noqa: T201
            self._report(ChildExited(message.number, 0, _CANNOT_FORK, 0, 0.0))
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
            if os.getpid() == template:
                for descriptor in descriptors:
                    os.close(descriptor)
        with contextlib.suppress(PermissionError, ProcessLookupError):  # the child was faster, or is gone
            os.setpgid(pid, pid)
        self._pids[message.number] = pid
        self._numbers[pid] = message.number
        self._report(ChildStarted(message.number, pid))
        return None

    def _become_child(self, template: int, descriptors: list[int]) -> None:
        os.setpgid(0, 0)
        die_with_parent(signal.SIGKILL)
        if os.getppid() != template:
            os._exit(0)
        signal.set_wakeup_fd(-1)
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)
        # Left to themselves, these objects would close descriptors that are somebody else's by then.
        for connection in (self._control, self._wake_up, self._woken):
            connection.detach()
        _close_all_but(descriptors)
        random.seed()

    def _signal(self, message: StopChild) -> None:
        pid = self._pids.get(message.number)
        if pid is not None:
            _signal_group(pid, message.signal)

    def _signal_alone(self, message: SignalChild) -> None:
        pid = self._pids.get(message.number)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, message.signal)

    def _reap(self) -> None:
        """Report the children that ended, and kill what they left in their process groups."""
        while self._numbers:
            # Looking before taking keeps the process id, and with it that of the group, from being reused.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            _signal_group(ended.si_pid, signal.SIGKILL)
            pid, status, usage = os.wait4(ended.si_pid, 0)
            number = self._numbers.pop(pid, None)
            if number is None:
                continue
            del self._pids[number]
            seconds = usage.ru_utime + usage.ru_stime
            code = os.waitstatus_to_exitcode(status)
            if self._folders is not None:
                self._end_orphans(self._folders.path(number))
                self._folders.remove(number)
            self._report(ChildExited(number, pid, code, usage.ru_maxrss * 1024, seconds))

    def _report(self, message: Message) -> None:
        try:
            self._control.send(encode([Parcel(message)])[0])
        except ConnectionError:
            self._is_over = True

    def _end_children(self) -> None:
        for pid in self._numbers:
            _signal_group(pid, signal.SIGKILL)
        for pid in self._numbers:
            os.waitpid(pid, 0)
        self._numbers.clear()
        self._end_orphans(None)
        if self._folders is not None:
            self._folders.close()

    def _end_orphans(self, folder: Path | None) -> None:
        """Kill what children left outside of their process groups: it has become a child of this process.

        Args:
            folder: Only what has its temporary files here: what one child started. None for everything.
        """
        for _ in range(_ROUNDS):  # what they started in turn becomes a child of this process only then
            orphans = [
                pid
                for pid in groups.children()
                if pid not in self._numbers and (folder is None or groups.uses_folder(pid, folder))
            ]
            if not orphans:
                return
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            for pid in orphans:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def die_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when its parent dies; where that is not to be had, nothing."""
    _prctl(_PR_SET_PDEATHSIG, int(number))


def _prctl(option: int, value: int) -> None:
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:
        prctl(option, value, 0, 0, 0)


def run_child(child: Child) -> int:
    """Import and call a child's entry; its exit code."""
    if child.folder is not None:
        try:
            use(child.folder)
        except OSError as error:
            print(f"concurrence: there is no folder for temporary files: {error}", file=sys.stderr)  # noqa: T201
    module, _, name = msgspec.msgpack.decode(child.spec, type=ChildSpec).entry.partition(":")
    entry = cast("Entry", getattr(importlib.import_module(module), name))
    return entry(child.spec, child.descriptors) or 0


def main(arguments: Sequence[str]) -> int:
    """Run the template process, or one of its children; the exit code.

    Args:
        arguments: The descriptor of the control socket; where the folders for temporary files go, empty for the
            system's place, ``-`` for none; and the modules that every child needs.
    """
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    if cast("object", sys.stderr) is not None:  # Python's way of saying that it was started without one
        faulthandler.enable()  # a task that crashes its worker leaves a trace on the slave's standard error
    for module in arguments[2:]:
        importlib.import_module(module)
    # What exists by now is never garbage: a collection in a child would only copy its memory pages.
    gc.collect()
    gc.freeze()
    child = TemplateProcess(control, _private_folders(arguments[1])).run()
    del control
    return 0 if child is None else run_child(child)


def _private_folders(base: str) -> PrivateFolders | None:
    if base == NO_FOLDERS:
        return None
    try:
        return PrivateFolders(base)
    except OSError as error:
        print(f"concurrence: workers have no folders for temporary files of their own: {error}", file=sys.stderr)  # noqa: T201
        return None


def _flush_streams() -> None:
    """What a child inherits in a buffer it would print again."""
    streams = cast("tuple[TextIO | None, ...]", (sys.stdout, sys.stderr))
    for stream in streams:
        if stream is not None:
            stream.flush()


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _close_all_but(descriptors: Sequence[int]) -> None:
    first = 3
    for descriptor in sorted(descriptors):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
