"""What nodes and master do with large messages, in virtual time: the production code, with pieces to scale."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from concurrence.errors import MessageTooLarge
from concurrence.nodes.exchange import Exchange
from concurrence.nodes.master_link import MasterLink
from concurrence.nodes.peer_traffic import PeerTraffic
from concurrence.scheduling.core import MasterCore
from concurrence.testing.simulation.network import Link, Network
from concurrence.testing.simulation.world import World
from concurrence.wire.codec import Frame, MessageDecoder, Parcel, decoder_for_master
from concurrence.wire.messages import Message
from concurrence.wire.pieces import PieceSender

MAX_FRAME_BYTES = 1 << 30
WHOLE_BYTES = 12_288
PIECE_BYTES = 16_384


def make_sender(world: World) -> PieceSender:
    """What cuts messages; without large payloads all travel whole."""
    whole = WHOLE_BYTES if world.scenario.payload else inf
    return PieceSender(MAX_FRAME_BYTES, whole=whole, piece=PIECE_BYTES)


class LinkEnd:
    """A node's end of a link, as its exchange knows it.

    Args:
        link: The link.
    """

    max_frame_bytes = MAX_FRAME_BYTES

    def __init__(self, link: Link) -> None:
        self._link = link

    def send(self, frames: Sequence[Frame]) -> bool:
        """Send; False without a connection."""
        return self._link.send(frames)


class SimulatedExchange(Exchange[Any]):
    """What passes between a node and its master.

    Args:
        world: What it is part of.
        link: The line.
        master_link: The state of the link.
        decoder: Of what the master sends.
    """

    def __init__(self, world: World, link: Link, master_link: MasterLink, decoder: MessageDecoder[Any]) -> None:
        super().__init__(LinkEnd(link), master_link, decoder, _refuse, make_sender(world))
        self._network = world.network
        self._of_master = decoder

    def _encode(self, parcels: Sequence[Parcel[Message]]) -> list[Frame]:
        return self._network.encoded(parcels)

    def _decode(self, frames: list[Frame]) -> list[Parcel[Any]]:
        return self._network.decoded(self._of_master, frames)


class SimulatedTraffic(PeerTraffic):
    """What passes between a master and its peers.

    Args:
        world: What it is part of.
        core: The master's.
    """

    def __init__(self, world: World, core: MasterCore) -> None:
        network = world.network
        super().__init__(core, decoder_for_master(), MAX_FRAME_BYTES, network.send, lambda: make_sender(world))
        self._network: Network = network

    def _encode(self, parcels: Sequence[Parcel[Message]]) -> list[Frame]:
        return self._network.encoded(parcels)


def _refuse(parcel: Parcel[Message], error: MessageTooLarge) -> list[Parcel[Message]]:
    raise error
