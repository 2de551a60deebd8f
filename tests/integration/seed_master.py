"""A master that registers slaves as the system's first description has it, almost word for word."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from concurrence.env.environment import Environment
from concurrence.nodes.api import NodeType
from concurrence.nodes.master import MasterNode
from concurrence.transport.remote import ApiRequest, jsonremote
from concurrence.transport.rpc_methods import tcpremote
from concurrence.transport.rpc_server import RpcPeer


class SeedMaster(MasterNode):
    """Offers ``register_slave`` twice."""

    def offer_registration(self) -> None:
        @jsonremote(self.api_service_v1)
        def register_slave(request: ApiRequest, node_id: str, port: int, data: dict[str, Any]) -> dict[str, Any]:
            self.stats.add_avg("register_slave")
            return self.register_node(node_id, request, port, data, NodeType.SLAVE)

        @tcpremote(self.zmq_server, name="register_slave")
        def register_slave_tcp(handler: RpcPeer, request: ApiRequest, node_id: str) -> dict[str, Any]:
            self.stats.add_avg("register_slave_tcp")
            return self.register_node_tcp(handler, request, node_id, NodeType.SLAVE)

        @jsonremote(self.api_service_v1)
        def registered(request: ApiRequest) -> list[dict[str, Any]]:
            return self.registered_nodes()


if __name__ == "__main__":
    # Who registers by a method sends no heartbeats in this test, and commands may take long to start.
    with Environment.open(
        Path(sys.argv[1]), overrides=["masternode.port=0", "masternode.lease=5 min"]
    ) as environment:
        environment.start_logging(node="master")
        environment.register(SeedMaster)
        master = environment.component(SeedMaster)
        master.app_init()
        master.reactor.call_later(0.0, lambda: master.log.warning("listening"))
        sys.exit(master.app_main())
