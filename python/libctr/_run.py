"""`run`: the whole life of a container in one call."""

from __future__ import annotations

import json
import locale
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, overload

from . import _spec
from ._errors import ContainerLost, CtrError, ProgramNotExecutable, ProgramNotFound, TimeoutExpired
from ._libctr import Runtime
from ._result import Exit, Outcome, Result
from ._spec import BytesPath, Limits, Mount, Network, Seconds, StrPath

_default: tuple[int, Runtime] | None = None


def _default_runtime() -> Runtime:
    """The runtime of the default directories, one for each process."""
    global _default
    if _default is None or _default[0] != os.getpid():
        _default = (os.getpid(), Runtime())
    return _default[1]


@overload
def run(
    args: Sequence[BytesPath],
    *,
    text: Literal[True],
    image: StrPath | None = ...,
    input: str | None = ...,
    capture_output: bool = ...,
    encoding: str | None = ...,
    errors: str | None = ...,
    cwd: StrPath | None = ...,
    env: Mapping[str, BytesPath] | None = ...,
    inherit_env: bool | Iterable[str] = ...,
    user: str | int | None = ...,
    hostname: str | None = ...,
    timeout: Seconds | None = ...,
    check: bool = ...,
    limits: Limits | None = ...,
    mounts: Iterable[Mount] = ...,
    devices: Iterable[str] = ...,
    network: Network | str = ...,
    on_limit: Literal["raise", "return"] = ...,
    runtime: Runtime | None = ...,
) -> Result[str]: ...


@overload
def run(
    args: Sequence[BytesPath],
    *,
    text: Literal[False] = ...,
    image: StrPath | None = ...,
    input: bytes | bytearray | memoryview | None = ...,
    capture_output: bool = ...,
    encoding: None = ...,
    errors: None = ...,
    cwd: StrPath | None = ...,
    env: Mapping[str, BytesPath] | None = ...,
    inherit_env: bool | Iterable[str] = ...,
    user: str | int | None = ...,
    hostname: str | None = ...,
    timeout: Seconds | None = ...,
    check: bool = ...,
    limits: Limits | None = ...,
    mounts: Iterable[Mount] = ...,
    devices: Iterable[str] = ...,
    network: Network | str = ...,
    on_limit: Literal["raise", "return"] = ...,
    runtime: Runtime | None = ...,
) -> Result[bytes]: ...


def run(
    args: Sequence[BytesPath],
    *,
    image: StrPath | None = None,
    input: Any = None,
    capture_output: bool = True,
    text: bool = False,
    encoding: str | None = None,
    errors: str | None = None,
    cwd: StrPath | None = None,
    env: Mapping[str, BytesPath] | None = None,
    inherit_env: bool | Iterable[str] = False,
    user: str | int | None = None,
    hostname: str | None = None,
    timeout: Seconds | None = None,
    check: bool = False,
    limits: Limits | None = None,
    mounts: Iterable[Mount] = (),
    devices: Iterable[str] = (),
    network: Network | str = Network.NONE,
    on_limit: Literal["raise", "return"] = "raise",
    runtime: Runtime | None = None,
) -> Result[Any]:
    """Runs a program to its end, isolated and limited.

    `args` is a sequence; the first is the program. `image` is the name of an
    image (str), a directory as a path object, or None for the host's own root
    under a throw-away layer. `input` is what the program reads; without it
    standard input is empty. With `capture_output` off the program writes to
    the streams of this process. `env` are its variables over the image's;
    nothing of the host's unless `inherit_env` is True or names it. `user` is
    a name or number of the container, alone or as ``user:group``. `timeout`
    is wall time in seconds or a timedelta. `devices` are paths of the host,
    each as ``"HOST[:CONTAINER][:rwm]"``; without, none but the harmless ones
    can be opened.

    Raises `TimeoutExpired` when wall time or processor time is over, with
    what was written until then, or returns with ``on_limit="return"``. Other
    ends are told by `Result.outcome`; with `check` everything but exit status
    0 is an `ExitError`. What fails before the program runs is a `CtrError`.
    KeyboardInterrupt, or an exception of any other signal handler, ends the
    container.
    """
    if on_limit not in ("raise", "return"):
        raise ValueError(f"on_limit must be 'raise' or 'return', not {on_limit!r}")
    codec = _Codec.chosen(text, encoding, errors)
    document: dict[str, Any] = {
        **_spec.root(image),
        "args": _spec.arguments(args),
        "env": _spec.variables(env, inherit_env),
        "limits": _spec.limits(limits, timeout),
        "mounts": [_spec.mount(mount) for mount in mounts],
        "devices": _spec.devices(devices),
        "network": Network(network).value,
        "detach": False,
        "remove": True,
    }
    if cwd is not None:
        document["cwd"] = _spec.kernel_text(cwd)
    if user is not None:
        document["user"] = str(user)
    if hostname is not None:
        document["hostname"] = hostname
    try:
        stdout, stderr, stdout_lost, stderr_lost, record = (
            runtime or _default_runtime()
        ).run_to_end(
            json.dumps(document, allow_nan=False).encode(),
            input=codec.encoded(input),
            capture=capture_output,
            # Only the main thread handles signals.
            signals=threading.current_thread() is threading.main_thread(),
        )
    except (ProgramNotFound, ProgramNotExecutable) as error:
        raise _located(error, args, image)
    end = Exit.of_json(record)
    whole = end.outcome is Outcome.EXITED
    out = codec.decoded(stdout, whole and stdout_lost == 0) if capture_output else None
    err = codec.decoded(stderr, whole and stderr_lost == 0) if capture_output else None
    if end.returncode is None:
        raise _lost(args, out, err)
    result: Result[Any] = Result(
        args, end.returncode, out, err, outcome=end.outcome, usage=end.usage,
        stdout_lost=stdout_lost, stderr_lost=stderr_lost,
    )
    if on_limit == "raise":
        times = {
            Outcome.WALL_TIMEOUT: timeout,
            Outcome.CPU_TIMEOUT: limits.cpu_time if limits else None,
        }
        time = times.get(end.outcome)
        if time is not None:
            raise TimeoutExpired(args, _spec.seconds(time), out, err, result=result)
    if check:
        result.check_returncode()
    return result


class _Codec:
    """Bytes, or text as `subprocess` makes it."""

    def __init__(self, encoding: str | None, errors: str | None) -> None:
        self.encoding = encoding
        self.errors = errors

    @classmethod
    def chosen(cls, text: bool, encoding: str | None, errors: str | None) -> _Codec:
        if text or encoding is not None or errors is not None:
            return cls(encoding or locale.getpreferredencoding(False), errors)
        return cls(None, None)

    def encoded(self, data: Any) -> bytes | None:
        if data is None:
            return None
        if self.encoding is None:
            if isinstance(data, str):
                raise TypeError("input must be bytes unless text=True, not str")
            return memoryview(data).tobytes()
        if not isinstance(data, str):
            raise TypeError(f"input must be str with text=True, not {type(data).__name__}")
        return data.encode(self.encoding, self.errors or "strict")

    def decoded(self, data: bytes, whole: bool) -> Any:
        """Output that was cut may end within a character."""
        if self.encoding is None:
            return data
        decoded = data.decode(self.encoding, self.errors or ("strict" if whole else "replace"))
        return decoded.replace("\r\n", "\n").replace("\r", "\n")


def _located(error: CtrError, args: Sequence[BytesPath], image: StrPath | None) -> CtrError:
    """Says where the program was looked for."""
    where = "the host's root" if image in (None, "host") else f"the root of {image!r}"
    if isinstance(error, OSError) and args:
        error.filename = os.fsdecode(args[0])
    if hasattr(error, "add_note"):
        error.add_note(f"searched inside the container, in {where}")
    return error


def _lost(args: Any, output: Any, stderr: Any) -> ContainerLost:
    error = ContainerLost(f"how {args!r} ended is not known: its helper was killed", kind="lost")
    error.output = output
    error.stderr = stderr
    return error
