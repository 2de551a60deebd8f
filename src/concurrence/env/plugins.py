"""Plug-ins and applications: finding their modules, importing them, and registering their components."""

from __future__ import annotations

import abc
import importlib
import importlib.util
import inspect
import logging
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from concurrence.component import Component, ComponentManager
from concurrence.errors import ComponentError, PluginError, UsageError

GROUP = "concurrence.plugins"
"""The entry point group; each entry names a module, or a component class in one."""

_LOADED_HERE = "concurrence plug-in"
_SHOWN_FRAMES = 5
_COMPONENT, _ABC = inspect.getfile(Component), abc.__file__


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A plug-in that could not be loaded; the others go on without it."""

    name: str
    source: str
    traceback: str


def load_plugins(manager: ComponentManager, folder: Path | None, *, log: logging.Logger) -> list[PluginFailure]:
    """Load all installed plug-ins and those of a folder, and register their components.

    Args:
        manager: Where the components are registered.
        folder: The environment's ``plugins/``; its modules are imported by name, and may import each other.
        log: Told of each plug-in that fails, with its traceback.

    Returns:
        The plug-ins that failed.
    """
    failures: list[PluginFailure] = []
    for entry in _installed():
        source = f"entry point {entry.name} = {entry.value}" + (f" of {entry.dist.name}" if entry.dist else "")
        _contain(entry.name, source, lambda entry=entry: _load_entry(manager, entry), failures, log)
    if folder is None or not folder.is_dir():
        return failures
    if str(folder) not in sys.path:
        # At the end, so that a plug-in's file cannot take the place of a module of the standard library.
        sys.path.append(str(folder))
        importlib.invalidate_caches()
    for path in _plugin_files(folder):
        name = path.parent.name if path.name == "__init__.py" else path.stem
        _contain(
            name,
            str(path),
            lambda name=name, path=path: register_module(manager, _import_file(name, path)),
            failures,
            log,
        )
    return failures


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


def _is_machinery(file: str) -> bool:
    return file in (__file__, importlib.__file__, _COMPONENT, _ABC) or file.startswith("<frozen ")


def _contain(
    name: str, source: str, load: Callable[[], object], failures: list[PluginFailure], log: logging.Logger
) -> None:
    try:
        load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  a plug-in may fail in any way; it is told below
        text = user_traceback(error)
        failures.append(PluginFailure(name, source, text))
        # The text is the traceback already, without the frames that are not the plug-in's.
        log.error("plug-in %s (%s) cannot be loaded and is left out:\n%s", name, source, text.rstrip())


def _installed() -> list[EntryPoint]:
    # A distribution can be found twice, through two entries of sys.path.
    unique = {(entry.name, entry.value): entry for entry in entry_points(group=GROUP)}
    return [unique[key] for key in sorted(unique)]


def _load_entry(manager: ComponentManager, entry: EntryPoint) -> None:
    loaded: object = entry.load()
    if isinstance(loaded, ModuleType):
        register_module(manager, loaded)
    elif isinstance(loaded, type) and issubclass(loaded, Component):
        manager.register(loaded)
    else:
        raise PluginError(f"{entry.value} is neither a module nor a component class")


def _plugin_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("_", ".")):
            continue
        if path.suffix == ".py" and path.is_file():
            found.append(path)
        elif (path / "__init__.py").is_file():
            found.append(path / "__init__.py")
    return found


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
        if getattr(spec, "loader_state", None) != _LOADED_HERE:
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
        sys.modules.pop(name, None)
        raise
    return module


def _advice(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"Install the package that provides {error.name}, or correct the import."
    if isinstance(error, SyntaxError):
        return "Correct the syntax at the line that is shown."
    return "Correct the code at the line that is shown; it ran while the module was imported."
