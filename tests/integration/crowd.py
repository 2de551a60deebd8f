"""A crowd of clients in one process: ``python crowd.py CONNECT_FILE COUNT`` says hello so often, and keeps alive.

It prints a line of JSON whenever something changes: how many were welcomed, and the texts of refusals. It
says goodbye and ends when its standard input ends.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import zmq

from concurrence.ids import new_system_id
from concurrence.nodes.identity import Identity
from concurrence.transport.security import Credentials, read_connect_file
from concurrence.version import __version__
from concurrence.wire.codec import Parcel, decoder_to_owner, encode
from concurrence.wire.messages import Bye, Ping, Refusal, Welcome

_AT_ONCE = 100  # that greet without an answer yet
_PING_SECONDS = 2.0


class Crowd:
    """Clients that do nothing but be there."""

    def __init__(self, credentials: Credentials, count: int) -> None:
        self._credentials = credentials
        self._left = count
        self._context = zmq.Context(io_threads=1)
        self._context.set(zmq.MAX_SOCKETS, count + 100)
        self._poller = zmq.Poller()
        self._welcomed: list[zmq.Socket[bytes]] = []
        self._waiting = 0
        self._refusals: Counter[str] = Counter()
        self._decoder = decoder_to_owner()
        self._poller.register(sys.stdin, zmq.POLLIN)

    def run(self) -> None:
        """Until the standard input ends."""
        pinged = time.monotonic()
        while True:
            while self._left and self._waiting < _AT_ONCE:
                self._greet()
            for ready, _ in self._poller.poll(200):
                if isinstance(ready, int):
                    self._leave()
                    return
                self._hear(ready)
            if time.monotonic() - pinged > _PING_SECONDS:
                pinged = time.monotonic()
                for socket in self._welcomed:
                    socket.send_multipart(encode([Parcel(Ping())]))

    def _greet(self) -> None:
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.curve_serverkey = self._credentials.server_key.encode("ascii")
        socket.curve_publickey = self._credentials.keys.public.encode("ascii")
        socket.curve_secretkey = self._credentials.keys.secret.encode("ascii")
        socket.connect(self._credentials.address)
        hello = Identity("client", f"one of {self._left}", __version__).hello(False, system=new_system_id())
        socket.send_multipart(encode([Parcel(hello)]))
        self._poller.register(socket, zmq.POLLIN)
        self._left -= 1
        self._waiting += 1

    def _leave(self) -> None:
        for socket in self._welcomed:
            socket.linger = 1000
            socket.send_multipart(encode([Parcel(Bye("the test is over"))]))
            socket.close()
        self._context.destroy()

    def _hear(self, socket: zmq.Socket[bytes]) -> None:
        for parcel in self._decoder.decode(list(socket.recv_multipart())):
            if isinstance(parcel.message, Welcome | Refusal):
                self._waiting -= 1
                if isinstance(parcel.message, Welcome):
                    self._welcomed.append(socket)
                else:
                    self._refusals[parcel.message.text] += 1
                    self._poller.unregister(socket)
                    socket.close()
                if not self._waiting or len(self._welcomed) % 100 == 0:
                    print(json.dumps({"welcomed": len(self._welcomed), "refused": self._refusals}), flush=True)  # noqa: T201


if __name__ == "__main__":
    Crowd(read_connect_file(Path(sys.argv[1])), int(sys.argv[2])).run()
