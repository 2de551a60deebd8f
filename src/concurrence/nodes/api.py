"""What a node is: an application that an environment runs."""

from __future__ import annotations

from abc import abstractmethod

from concurrence.component import Interface


class IApp(Interface):
    """An application: what ``[project] app`` or the command line names, and an environment runs.

    Master, slave and every client are applications too.
    """

    @abstractmethod
    def app_init(self) -> None:
        """Prepare; called once, before :meth:`app_main`, in the main thread."""

    @abstractmethod
    def app_main(self) -> int | None:
        """Run until done; returns the process's exit code, None for 0."""
