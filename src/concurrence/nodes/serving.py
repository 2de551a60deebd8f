"""What master and slave have in common towards HTTP: the options of their HTTP port, its begin and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurrence.component import ComponentManager
from concurrence.env.options import ChoiceOption, FloatOption, IntOption, ListOption, StrOption
from concurrence.nodes.keys import reachable_url
from concurrence.nodes.node import Node
from concurrence.transport.descriptors import open_files
from concurrence.transport.http_pages import HttpPages, HttpSettings, is_loopback, url_host
from concurrence.transport.remote import ApiService
from concurrence.transport.tokens import ApiTokens, Sessions

if TYPE_CHECKING:
    from concurrence.transport.http_server import HttpServer

_FEWEST = 4
_FILES_PER_CONNECTION = 16  # most of a node's open files are for its peers


class ServingNode(Node, abstract=True):
    """A node that may have an HTTP port.

    Attributes:
        sessions: The browsers that may look at it.
        api_address: Where others reach the HTTP port, as ``http://host:port``; empty if there is none.
    """

    api_enabled = ChoiceOption(
        "api",
        "enabled",
        ("auto", "yes", "no"),
        "auto",
        "Whether there is an HTTP port; auto: masters have one, slaves none. Nodes started by others never have.",
    )
    api_host = StrOption("api", "host", "127.0.0.1", "Address of the HTTP port; 0.0.0.0 for all interfaces.")
    api_port: IntOption[int | None] = IntOption(
        "api",
        "port",
        None,
        "The HTTP port; 0 for a free one. By default a master's is [masternode] port plus 80, a slave's is free.",
        min=0,
        max=65_535,
    )
    api_allowed_hosts = ListOption(
        "api",
        "allowed_hosts",
        (),
        "Further names under which the HTTP port may be asked, as that of a proxy.",
    )
    api_rate = FloatOption(
        "api", "rate", 1_000.0, "HTTP requests that one caller may have in a second; 0 for any number."
    )
    api_connections = IntOption(
        "api", "connections", 256, "HTTP connections at once; one in 16 of the open files allowed at most.", min=1
    )

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self.sessions = Sessions()
        self.api_address = ""
        self._http: HttpServer | None = None

    def has_api(self, *, by_default: bool) -> bool:
        """Whether it is to have an HTTP port."""
        wanted = by_default if self.api_enabled == "auto" else self.api_enabled == "yes"
        return wanted and self.launch is None

    def open_http(
        self, service: ApiService, pages: HttpPages, tokens: ApiTokens, port: int, advertise: str = ""
    ) -> None:
        """Open the HTTP port.

        Args:
            service: The methods.
            pages: What else there is.
            tokens: Who may come in.
            port: The port unless the options say another one.
            advertise: The host that others are told, if the node listens on all interfaces; empty for a guess.

        Raises:
            UsageError: It cannot listen there.
        """
        from concurrence.transport.http_server import HttpServer  # noqa: PLC0415  large, and most nodes do without

        settings = HttpSettings(
            self.api_host,
            port if self.api_port is None else self.api_port,
            tokens,
            self.sessions,
            (*self.api_allowed_hosts, *_host_of(self.api_host, advertise)),
            max(0.0, self.api_rate),
            min(self.api_connections, max(_FEWEST, open_files() // _FILES_PER_CONNECTION)),
        )
        if not is_loopback(settings.host):
            self.log.warning(
                "the API listens at %s, beyond this machine, and is not encrypted: put a proxy with TLS before it",
                settings.host,
            )
        self._http = http = HttpServer(settings, service, pages, self.reactor.post, self.log, self.stats)
        http.start()
        self.api_address = reachable_url(http.address, advertise)
        self.log.info("the API listens at %s", http.address)

    def close_http(self) -> None:
        """Close the HTTP port; harmless if there is none."""
        if self._http is not None:
            self._http.stop()
            self._http = None
            self.api_address = ""


def _host_of(host: str, advertise: str) -> list[str]:
    """The name under which others reach a host, if it is another one."""
    address = reachable_url(f"http://{url_host(host)}:1", advertise)
    return [address.removeprefix("http://").rpartition(":")[0]]
