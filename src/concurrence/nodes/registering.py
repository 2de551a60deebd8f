"""The part of a master with which other programs register: the same methods on the API and as remote methods.

Both kinds are declared as the field does it, by one decorator, and both end in one implementation.
"""

from __future__ import annotations

from typing import Any

from concurrence.nodes.api import NodeType
from concurrence.nodes.api_door import ApiDoor
from concurrence.nodes.master_limits import LimitedNode
from concurrence.nodes.registration import Registrations
from concurrence.transport.api import IServer, PeerId
from concurrence.transport.remote import ApiRequest, ApiService, jsonremote
from concurrence.transport.rpc_methods import tcpremote
from concurrence.transport.rpc_server import RpcPeer, RpcServer
from concurrence.transport.security import Role


class RegisteringNode(LimitedNode, abstract=True):
    """A master with which nodes can register.

    Attributes:
        zmq_server: Offers remote methods on the compute channel, over whichever transport that is; from when the
            node listens.
    """

    zmq_server: RpcServer
    _api: ApiDoor
    _registrations: Registrations

    @property
    def api_service_v1(self) -> ApiService:
        """The methods of the API."""
        return self._api.service

    def open_remotes(self, server: IServer) -> None:
        """Offer remote methods on the compute channel, and registration on both.

        Args:
            server: The master's end of the compute channel, which the master drains itself.
        """
        self._registrations = Registrations(self.limits().lease)
        self.zmq_server = RpcServer(server, forget=lambda peer: self.forget_caller(server, peer))
        self.offer_registration()

    def forget_caller(self, server: IServer, peer: PeerId) -> None:
        """Somebody called remote methods and has been silent for long."""
        server.forget(peer)

    def offer_registration(self) -> None:
        """Offer ``register_slave``, ``register_client``, ``heartbeat`` and ``unregister`` on both."""
        self._offer_slaves()
        self._offer_clients()
        self._offer_leaving()

    def _offer_slaves(self) -> None:
        @jsonremote(self.api_service_v1, roles=(Role.SLAVE,))
        def register_slave(
            request: ApiRequest, node_id: str, port: int = 0, data: dict[str, Any] | None = None
        ) -> dict[str, Any]:
            """Register a slave, or what has changed of it; it is told where the compute channel is.

            Args:
                node_id: Its id, which belongs to the key that registers it.
                port: Where it listens; 0 if it does not.
                data: What it says of itself, 64 KiB at most.

            Returns:
                ``node``, whether it was ``known``, the address of the ``compute`` channel, and the ``heartbeat``
                and the ``lease`` in seconds.

            Raises:
                Refused: The id belongs to another key, the role does not fit, or there are too many.
                UsageError: The id, the port or the data exceed a limit.
            """
            self.stats.add_avg("register_slave")
            return self.register_node(node_id, request, port, data, NodeType.SLAVE)

        @tcpremote(self.zmq_server, name="register_slave")
        def register_slave_tcp(
            handler: RpcPeer, request: ApiRequest, node_id: str, data: dict[str, Any] | None = None
        ) -> dict[str, Any]:
            self.stats.add_avg("register_slave_tcp")
            return self.register_node_tcp(handler, request, node_id, NodeType.SLAVE, data)

    def _offer_clients(self) -> None:
        @jsonremote(self.api_service_v1, roles=(Role.CLIENT,))
        def register_client(
            request: ApiRequest, node_id: str, port: int = 0, data: dict[str, Any] | None = None
        ) -> dict[str, Any]:
            """Register a client, or what has changed of it; it is told where the compute channel is.

            Args:
                node_id: Its id, which belongs to the key that registers it.
                port: Where it listens; 0 if it does not.
                data: What it says of itself, 64 KiB at most.

            Returns:
                ``node``, whether it was ``known``, the address of the ``compute`` channel, and the ``heartbeat``
                and the ``lease`` in seconds.

            Raises:
                Refused: The id belongs to another key, the role does not fit, or there are too many.
                UsageError: The id, the port or the data exceed a limit.
            """
            self.stats.add_avg("register_client")
            return self.register_node(node_id, request, port, data, NodeType.CLIENT)

        @tcpremote(self.zmq_server, name="register_client")
        def register_client_tcp(
            handler: RpcPeer, request: ApiRequest, node_id: str, data: dict[str, Any] | None = None
        ) -> dict[str, Any]:
            self.stats.add_avg("register_client_tcp")
            return self.register_node_tcp(handler, request, node_id, NodeType.CLIENT, data)

    def _offer_leaving(self) -> None:
        @jsonremote(self.api_service_v1, roles=(Role.SLAVE, Role.CLIENT))
        def heartbeat(request: ApiRequest, node_id: str) -> bool:
            """Tell that a registered node is still there; without this for a lease it is forgotten.

            Args:
                node_id: Its id.

            Returns:
                True.

            Raises:
                NotFound: It is not registered, or not any more.
                Refused: It was registered with another key.
            """
            return self.node_heartbeat(node_id, request)

        @tcpremote(self.zmq_server, name="heartbeat")
        def heartbeat_tcp(handler: RpcPeer, request: ApiRequest, node_id: str) -> bool:
            return self.node_heartbeat(node_id, request)

        @jsonremote(self.api_service_v1, roles=(Role.SLAVE, Role.CLIENT))
        def unregister(request: ApiRequest, node_id: str) -> bool:
            """Tell that a registered node leaves.

            Args:
                node_id: Its id.

            Returns:
                True.

            Raises:
                NotFound: It is not registered.
                Refused: It was registered with another key.
            """
            return self.unregister_node(node_id, request)

        @tcpremote(self.zmq_server, name="unregister")
        def unregister_tcp(handler: RpcPeer, request: ApiRequest, node_id: str) -> bool:
            return self.unregister_node(node_id, request)

        @jsonremote(self.api_service_v1, roles=(Role.CLIENT,))
        def registered(request: ApiRequest) -> list[dict[str, Any]]:
            """List the nodes that registered by a method and send heartbeats; see ``nodes`` for all others.

            Returns:
                Of each ``node``, ``kind``, ``address``, ``port``, ``data``, and for how many seconds it is
                ``silent``.
            """
            return self.registered_nodes()

    # --- the one implementation of all of them ---

    def register_node(
        self, node_id: str, request: ApiRequest, port: int, data: dict[str, Any] | None, kind: NodeType
    ) -> dict[str, Any]:
        """Register a node, or what has changed of it.

        Args:
            node_id: Its id, which belongs to the key that registered it.
            request: Who registers it.
            port: Where it listens; 0 if it does not.
            data: What it says of itself.
            kind: What it is.

        Returns:
            Whether it was known, where the compute channel is, and how often it is to send a heartbeat.

        Raises:
            UsageError: What it says of itself exceeds a limit.
            Refused: The key may not, or the id belongs to another.
        """
        limits = self.limits()
        self._registrations.lease = limits.lease
        known = self._registrations.register(node_id, request, port, data or {}, kind, self.reactor.now())
        if not known:
            self.log.info("%s %s registered from %s", kind, node_id, request.address)
        return {
            "node": node_id,
            "known": known,
            "compute": self.zmq_server.address,
            "heartbeat": limits.heartbeat,
            "lease": limits.lease,
        }

    def register_node_tcp(
        self,
        handler: RpcPeer,
        request: ApiRequest,
        node_id: str,
        kind: NodeType,
        data: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The same for one that registers on the compute channel: it can be called back through ``handler``."""
        return self.register_node(node_id, request, 0, data, kind)

    def node_heartbeat(self, node_id: str, request: ApiRequest) -> bool:
        """A registered node is still there.

        Raises:
            NotFound: It is not registered, or not any more.
            Refused: It was registered with another key.
        """
        self._registrations.heartbeat(node_id, request, self.reactor.now())
        return True

    def unregister_node(self, node_id: str, request: ApiRequest) -> bool:
        """A registered node leaves.

        Raises:
            NotFound: It is not registered.
            Refused: It was registered with another key.
        """
        self._registrations.unregister(node_id, request, self.reactor.now())
        self.log.info("%s unregistered from %s", node_id, request.address)
        return True

    def registered_nodes(self) -> list[dict[str, Any]]:
        """Who is registered, as plain data."""
        now = self.reactor.now()
        return [
            {
                "node": each.node,
                "kind": each.kind.value,
                "address": each.address,
                "port": each.port,
                "data": each.data,
                "silent": now - each.heard,
            }
            for each in self._registrations.all(now)
        ]
