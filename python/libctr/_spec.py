"""What to run: limits, mounts, network, and the document made of them.

The document is the library's RunSpec, JSON; its values are checked there, so
that every language refuses the same things with the same words.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

StrPath = str | os.PathLike[str]
BytesPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Size = int | str
"""Bytes, or a string such as ``"512M"`` in powers of 1024."""
Seconds = float | timedelta


class Network(str, enum.Enum):
    """Which network the program sees."""

    NONE = "none"
    """One of its own with nothing but a loopback interface."""
    HOST = "host"
    """The host's."""
    NAT = "nat"
    """A private address behind the host's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a container may use. ``None`` is the default of each limit.

    A limit that cannot be enforced on this machine is a `CapabilityError`
    before anything runs.
    """

    memory: Size | None = None
    """Memory of all processes together. Default: not limited."""
    swap: Size | None = None
    """Swap in addition to it. Default: none where `memory` is given."""
    pids: int | Literal["unlimited"] | None = None
    """Processes and threads together. Default: 4096."""
    cpus: float | None = None
    """Processors' worth of time per wall time. Default: not limited."""
    cpu_weight: int | None = None
    """Share against other containers, 1 to 10000. Default: 100."""
    cpuset: str | None = None
    """Processors that may be used, such as ``"0-3,5"``. Default: all."""
    cpu_time: Seconds | None = None
    """Processor time of all processes. Default: not limited."""
    grace: Seconds | None = None
    """Time between SIGTERM and SIGKILL at a deadline. Default: 0."""
    output: Size | None = None
    """Bytes of each captured stream. Default: not limited."""
    keep: Literal["head", "tail"] | None = None
    """Which part of the output is kept. ``"head"``, the default, ends the
    program at the limit; ``"tail"`` lets it go on."""
    nofile: int | None = None
    """Open files per process. Default: the host's limit."""
    core: Size | None = None
    """Size of a core file. Default: 0."""
    stack: Size | None = None
    """Stack of the main thread. Default: the host's limit."""
    fsize: Size | None = None
    """Size of any file that is written. Default: the host's limit."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """A file system at `target`, made in the order given."""

    kind: Literal["bind", "tmpfs", "overlay"]
    target: StrPath
    source: BytesPath | None = None
    read_only: bool | None = None
    size: Size | None = None
    options: Sequence[Literal["nosuid", "suid", "noexec", "exec", "nodev"]] = ()

    @classmethod
    def ro(cls, source: BytesPath, target: StrPath) -> Mount:
        """A file or directory of the host, read-only."""
        return cls("bind", target, source, read_only=True)

    @classmethod
    def rw(cls, source: BytesPath, target: StrPath) -> Mount:
        """A file or directory of the host that the program may change."""
        return cls("bind", target, source, read_only=False)

    @classmethod
    def cow(cls, source: BytesPath, target: StrPath) -> Mount:
        """A copy-on-write view: the program may write, the host never sees it."""
        return cls("overlay", target, source)

    @classmethod
    def tmpfs(cls, target: StrPath, *, size: Size | None = None) -> Mount:
        """An empty directory in memory."""
        return cls("tmpfs", target, size=size)


def seconds(value: Seconds) -> float:
    """A duration as the document has it."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected seconds or a timedelta, not {type(value).__name__}")
    return value


def kernel_text(value: BytesPath) -> str | dict[str, str]:
    """What Linux takes as bytes: a string, or base64 where it is no UTF-8."""
    raw = os.fsencode(value)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode("ascii")}


def arguments(args: Sequence[BytesPath]) -> list[str | dict[str, str]]:
    """A command as the document has it; a string is no command."""
    if isinstance(args, (str, bytes, os.PathLike)):
        raise TypeError(
            f"args must be a sequence such as ['sh', '-c', {os.fsdecode(args)!r}], "
            f"not {type(args).__name__}: no shell takes it apart"
        )
    return [kernel_text(arg) for arg in args]


def variables(
    env: Mapping[str, BytesPath] | None, inherit: bool | Iterable[str]
) -> dict[str, str | dict[str, str]]:
    """`env` over the inherited variables."""
    if isinstance(inherit, str):
        raise TypeError("inherit_env must be a bool or names, not str")
    names = () if inherit is False else os.environ if inherit is True else inherit
    given: dict[str, BytesPath] = {n: os.environ[n] for n in names if n in os.environ}
    given.update(env or {})
    return {name: kernel_text(value) for name, value in given.items()}


def limits(given: Limits | None, timeout: Seconds | None) -> dict[str, Any]:
    """The limits that were given."""
    document: dict[str, Any] = {}
    if given is not None:
        for field in dataclasses.fields(given):
            value = getattr(given, field.name)
            if value is not None:
                timed = field.name in ("cpu_time", "grace")
                document[field.name] = seconds(value) if timed else value
    if timeout is not None:
        document["wall_time"] = seconds(timeout)
    return document


def mount(given: Mount) -> dict[str, Any]:
    """One mount; paths of the host may be relative."""
    document: dict[str, Any] = {"type": given.kind, "target": kernel_text(given.target)}
    if given.source is not None:
        document["source"] = kernel_text(os.path.abspath(os.fsencode(given.source)))
    for key, value in (("read_only", given.read_only), ("size", given.size)):
        if value is not None:
            document[key] = value
    if given.options:
        document["options"] = list(given.options)
    return document


def devices(given: Iterable[str]) -> list[str]:
    """Devices in Docker's form; one string is no list of them."""
    if isinstance(given, str):
        raise TypeError(f"devices must be a list such as [{given!r}], not str")
    return list(given)


def root(image: StrPath | None) -> dict[str, Any]:
    """A string names an image, a path object is a directory, None the host."""
    if image is None:
        return {}
    if isinstance(image, str):
        return {"image": image}
    return {"rootfs": kernel_text(os.path.abspath(os.fspath(image)))}
