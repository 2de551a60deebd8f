"""What a plug-in can add to the command line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping

from concurrence.component import Interface


class ICommands(Interface):
    """Adds commands to ``concurrence``, which run in the environment around the working directory.

    ``concurrence --env PATH NAME`` runs one in another: the option stands before the name, which comes from there.
    """

    @abstractmethod
    def commands(self) -> Mapping[str, Callable[..., int | None]]:
        """The commands by name.

        The annotated parameters of each function become its arguments and options, as Typer reads them; its
        docstring is its help; what it returns is the exit code, None for 0. A ``typer.Typer`` in place of a
        function is a group of commands. Called for ``concurrence --help`` too, so it must be quick.
        """
