"""Open files: how many this process may have, and how many of them may be connections."""

from __future__ import annotations

from concurrence.errors import UsageError

try:
    import resource
except ImportError:  # not on Windows, which has no such limit
    resource = None

_ENOUGH = 1 << 20
OWN_FILES = 40
"""What a master has open besides connections: sockets, pipes, its log, modules that are imported."""


def raise_limit() -> int:
    """Let this process have as many open files as it is allowed to have; how many these are."""
    if resource is None:
        return _ENOUGH
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return open_files()


def open_files() -> int:
    """How many open files this process may have."""
    if resource is None:
        return _ENOUGH
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH if soft == resource.RLIM_INFINITY else min(soft, _ENOUGH)


def connections_within(files: int) -> int:
    """How many of so many open files may be connections: the others are for the node's own use."""
    return max(0, files - OWN_FILES - min(256, files // 8))


def require(files: int, what: str, cure: str = "") -> None:
    """Check that this process may have so many open files, after raising its limit as far as it may.

    Args:
        files: How many it needs.
        what: What needs them, for the text.
        cure: What else helps than a higher limit; a whole sentence.

    Raises:
        UsageError: It may not.
    """
    allowed = raise_limit()
    if allowed < files:
        raise UsageError(
            f"{what} needs {files} open files, and this process may have {allowed}",
            hint=f"Raise the limit: ulimit -n {files}, or LimitNOFILE={files} in a systemd unit. {cure}".strip(),
        )
