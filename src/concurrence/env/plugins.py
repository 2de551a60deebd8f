"""Plug-ins and applications: finding their modules, importing them, and registering their components."""

from __future__ import annotations

import abc
import importlib
import importlib.util
import inspect
import logging
import re
import sys
import threading
import traceback
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from concurrence.component import Component, ComponentManager
from concurrence.env.plugin_sources import PluginSource, find_plugins
from concurrence.errors import ComponentError, ConcurrenceError, PluginError, UsageError

SLOW_SECONDS = 3.0
"""A plug-in whose import takes longer is named while it is still going on."""

_LOADED_HERE = "concurrence plug-in"
_SHOWN_FRAMES = 5
_COMPONENT, _ABC = inspect.getfile(Component), abc.__file__


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A plug-in that could not be loaded; the others go on without it.

    Attributes:
        name: Its name.
        source: Where it was found.
        traceback: What was raised, and where in its own code.
        reason: What was raised, in one line.
    """

    name: str
    source: str
    traceback: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plug-in after the attempt to load it.

    Attributes:
        source: Where it was found.
        components: The component classes that it brought.
        failure: Why it is left out; None if it is not.
    """

    source: PluginSource
    components: tuple[type[Component], ...] = ()
    failure: PluginFailure | None = None


def load_plugins(manager: ComponentManager, folder: Path | None, *, log: logging.Logger) -> list[PluginFailure]:
    """Load all installed plug-ins and those of a folder, and register their components.

    Args:
        manager: Where the components are registered.
        folder: The environment's ``plugins/``; its modules are imported by name, and may import each other.
        log: Told of each plug-in that fails, with its traceback.

    Returns:
        The plug-ins that failed.
    """
    loaded = load_sources(manager, find_plugins(folder), folder, log=log)
    return [plugin.failure for plugin in loaded if plugin.failure is not None]


def load_sources(
    manager: ComponentManager, sources: list[PluginSource], folder: Path | None, *, log: logging.Logger
) -> list[Plugin]:
    """Load plug-ins one after the other; one that fails does not stop the others.

    Args:
        manager: Where their components are registered.
        sources: What to load; see :func:`~concurrence.env.plugin_sources.find_plugins`.
        folder: The folder of those that are files.
        log: Told of each that fails, and of one that takes long while it does.
    """
    if folder is not None and folder.is_dir():
        if str(folder) not in sys.path:
            # At the end, so that a plug-in's file cannot take the place of a module of the standard library.
            sys.path.append(str(folder))
        importlib.invalidate_caches()
    return [_load(manager, source, log) for source in sources]


def load_path(manager: ComponentManager, path: Path) -> list[type[Component]]:
    """Load an application from a file or a folder, and register its components.

    Args:
        manager: Where the components are registered.
        path: A ``.py`` file, or a folder that holds ``__init__.py``, ``app.py`` or ``__main__.py``.

    Returns:
        The component classes that were found.

    Raises:
        UsageError: There is no application at the path.
        PluginError: The application cannot be imported; the text shows where in its own code.
    """
    path = path.absolute()
    try:
        return _load_application(manager, path)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        message = f"the application {path} cannot be loaded:\n{user_traceback(error)}".rstrip()
        raise PluginError(message, hint=_advice(error)) from error


def register_module(manager: ComponentManager, module: ModuleType) -> list[type[Component]]:
    """Register the concrete components that a module, ``__main__`` for example, defines.

    Args:
        manager: Where they are registered.
        module: The module; what it merely imported from elsewhere than below itself is left out.

    Returns:
        The component classes, in order of definition.
    """
    found: dict[type[Component], None] = {}
    for value in list(vars(module).values()):
        if not (isinstance(value, type) and issubclass(value, Component)) or value.is_abstract:
            continue
        if value.__module__ == module.__name__ or value.__module__.startswith(module.__name__ + "."):
            found[manager.register(value)] = None
    return list(found)


def unload(folder: Path) -> None:
    """Forget the modules of a folder, and no longer look there for imports."""
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and Path(file).is_relative_to(folder):
            del sys.modules[name]


def user_traceback(error: BaseException) -> str:
    """The traceback of an import without the frames of the import machinery and of this module.

    Of a component that is incomplete only the line of its class is shown, and what it lacks.
    """
    if isinstance(error, ComponentError):
        frames = traceback.extract_tb(error.__traceback__)
        users = [frame for frame in frames if not _is_machinery(frame.filename)]
        return f"{users[-1].filename}:{users[-1].lineno}: {error}\n" if users else f"{error}\n"
    place = error.__traceback__
    while place is not None:
        file = place.tb_frame.f_code.co_filename
        if not _is_machinery(file):
            break
        place = place.tb_next
    lines = traceback.format_exception(type(error), error, place, limit=-_SHOWN_FRAMES, chain=False)
    return "".join(lines)


def _reason(error: BaseException) -> str:
    """What was raised, in one line: of a message of several lines the first one, without notes."""
    if isinstance(error, ConcurrenceError):
        return " ".join(error.message.split())
    if isinstance(error, SyntaxError):  # the lines before it show the place
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return traceback.format_exception_only(error)[0].splitlines()[0]


def _is_machinery(file: str) -> bool:
    return file in (__file__, importlib.__file__, _COMPONENT, _ABC) or file.startswith("<frozen ")


def _load(manager: ComponentManager, source: PluginSource, log: logging.Logger) -> Plugin:
    text = reason = source.problem
    try:
        # What it prints while it is imported must not get between the lines, or into the JSON, of a command.
        if not text:
            with redirect_stdout(sys.stderr), _naming_the_slow(source, log):
                return Plugin(source, tuple(_components_of(manager, source)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  also SystemExit and what else is no Exception; it is told below
        text, reason = user_traceback(error), _reason(error)
    failure = PluginFailure(source.name, source.where, text, reason.strip())
    # The text is the traceback already, without the frames that are not the plug-in's.
    log.error("plug-in %s (%s) cannot be loaded and is left out:\n%s", source.name, source.where, text.rstrip())
    return Plugin(source, failure=failure)


@contextmanager
def _naming_the_slow(source: PluginSource, log: logging.Logger) -> Generator[None]:
    """Say which plug-in it is that keeps everybody waiting."""
    if source.is_own:
        yield
        return
    text = "plug-in %s (%s) is being imported for more than %.0f s; everything waits for it"
    watch = threading.Timer(SLOW_SECONDS, log.warning, (text, source.name, source.where, SLOW_SECONDS))
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        watch.join()


def _components_of(manager: ComponentManager, source: PluginSource) -> list[type[Component]]:
    if source.path is not None:
        return register_module(manager, _import_plugin(source.name, source.path))
    if source.entry is None:
        return []
    loaded: object = source.entry.load()
    if isinstance(loaded, ModuleType):
        if loaded.__spec__ is not None and loaded.__spec__.origin is None:
            # Python takes any folder for a package, also what is left of one whose files are gone.
            raise PluginError(f"the package {loaded.__name__} has no __init__.py: it is only half there")
        return register_module(manager, loaded)
    if isinstance(loaded, type) and issubclass(loaded, Component):
        return [manager.register(loaded)]
    raise PluginError(f"{source.entry.value} is neither a module nor a component class")


def _import_plugin(name: str, path: Path) -> ModuleType:
    if name not in sys.modules:
        # Whoever imports this name later, an application for example, must find what it means.
        found = importlib.util.find_spec(name)
        origin = found.origin if found is not None else None
        if origin is not None and not _same_file(origin, path):
            raise PluginError(f"the module name {name} is taken by {_place(origin)}: rename {path}")
    return _import_file(name, path)


def _same_file(origin: str, path: Path) -> bool:
    return Path(origin).resolve() == path.resolve()


def _place(origin: str) -> str:
    return "a built-in module" if origin in ("built-in", "frozen") else origin


def _load_application(manager: ComponentManager, path: Path) -> list[type[Component]]:
    if path.is_file() and path.suffix == ".py":
        _look_first_in(path.parent)
        return register_module(manager, _import_file(_module_name(path.stem), path))
    if not path.is_dir():
        raise UsageError(f"no application at {path}", hint="Name a .py file or a folder with an app.py.")
    package = _module_name(path.name)
    if (path / "__init__.py").is_file():
        _look_first_in(path.parent)
        found = register_module(manager, _import_file(package, path / "__init__.py"))
        for part in ("app", "__main__"):
            if not found and (path / f"{part}.py").is_file():
                module = importlib.import_module(f"{package}.{part}")
                found = register_module(manager, module)
        return found
    for name, file in (("app", path / "app.py"), (package, path / "__main__.py")):
        if file.is_file():
            _look_first_in(path)
            return register_module(manager, _import_file(name, file))
    raise UsageError(f"no application in {path}", hint="It needs an __init__.py, app.py or __main__.py.")


def _look_first_in(folder: Path) -> None:
    # At the front, as Python does for scripts: the application finds its own modules before any others.
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()


def _module_name(stem: str) -> str:
    name = re.sub(r"\W", "_", stem)
    return name if name.isidentifier() else f"_{name}"


def _import_file(name: str, path: Path) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None:
        file = getattr(known, "__file__", None)
        if isinstance(file, str) and Path(file).absolute() == path.absolute():
            return known
        spec = getattr(known, "__spec__", None)
        folder = path.parent.parent if path.name == "__init__.py" else path.parent
        is_neighbour = isinstance(file, str) and Path(file).absolute().is_relative_to(folder.absolute())
        if getattr(spec, "loader_state", None) != _LOADED_HERE or is_neighbour:
            raise PluginError(f"the module name {name} is taken by {file or 'a built-in module'}: rename {path}")
    is_package = path.name == "__init__.py"
    search = [str(path.parent)] if is_package else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python module")
    spec.loader_state = _LOADED_HERE
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for known_name in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
            del sys.modules[known_name]
        raise
    return module


def _advice(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"Install the package that provides {error.name}, or correct the import."
    if isinstance(error, SyntaxError):
        return "Correct the syntax at the line that is shown."
    return "Correct the code at the line that is shown; it ran while the module was imported."
