"""Exceptions. Each has a builtin twin where there is one, so that `except`
clauses written for `subprocess` and `open` go on working.

All of them survive pickle and copy, with what is attached to them.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._result import Result


class CtrError(Exception):
    """Something failed in libctr; the base of all its exceptions."""

    kind: str | None = None
    """The class of the failure as a word: ``not_found``, ``unsupported``, …"""
    stage: str | None = None
    """The step that failed: ``spec``, ``image``, ``exec``, …"""
    hint: str | None = None
    """What would help, where that is known; the text has it too."""

    def __init__(
        self,
        message: str = "",
        *,
        kind: str | None = None,
        stage: str | None = None,
        errno: int | None = None,
        hint: str | None = None,
    ) -> None:
        # Not super(): the next class may be a twin with arguments of its own.
        Exception.__init__(self, message)
        self.kind = kind
        self.stage = stage
        self.hint = hint
        self.errno: int | None = errno
        self.strerror: str | None = None if errno is None else os.strerror(errno)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else type(self).__name__

    def __reduce__(self) -> tuple[Any, ...]:
        # The builtin twins rebuild from `args` alone, which does not fit.
        system = None
        if isinstance(self, OSError):
            system = (self.errno, self.strerror, self.filename, self.filename2)
        return _rebuild, (type(self), self.args, system), dict(self.__dict__)


def _rebuild(cls: type[CtrError], args: tuple[Any, ...], system: Any) -> CtrError:
    error = cls.__new__(cls)
    error.args = args
    if isinstance(error, OSError):
        error.errno, error.strerror, error.filename, error.filename2 = system
    return error


class InvalidInput(CtrError, ValueError):
    """A value is wrong; the text begins with its path in the document."""


class NotFound(CtrError, FileNotFoundError):
    """A user, a directory or a file of the container does not exist."""


class ImageNotFound(CtrError, LookupError):
    """The image is not in the store."""


class AlreadyExists(CtrError, FileExistsError):
    """The name is taken."""


class SandboxPermissionError(CtrError, PermissionError):
    """The kernel or the file system refuses permission."""


class CapabilityError(CtrError, OSError):
    """This machine cannot do it: a limit or a feature of the kernel is missing."""


class ProgramNotFound(CtrError, FileNotFoundError):
    """The program does not exist in the container."""


class ProgramNotExecutable(CtrError, PermissionError):
    """The program exists in the container but cannot be executed."""


class SetupError(CtrError, OSError):
    """Setting the container up failed for another reason of the system."""


class ContainerLost(CtrError):
    """The container's helper was killed: how the program ended is not known."""

    output: str | bytes | None = None
    stderr: str | bytes | None = None


class TimeoutExpired(CtrError, subprocess.TimeoutExpired, TimeoutError):
    """The time was over, wall time or processor time; everything was killed.

    `output` and `stderr` are what was written until then; `result` is the
    whole result.
    """

    result: Result[Any] | None

    def __init__(
        self,
        cmd: Any,
        timeout: float,
        output: Any = None,
        stderr: Any = None,
        *,
        result: Result[Any] | None = None,
    ) -> None:
        super().__init__(f"command {cmd!r} timed out after {timeout} seconds", kind="timeout")
        self.cmd = cmd
        self.timeout = timeout
        self.output = output
        self.stderr = stderr
        self.result = result


class ExitError(CtrError, subprocess.CalledProcessError):
    """With ``check=True``: the program did not end by itself with 0."""

    result: Result[Any] | None

    def __init__(
        self,
        returncode: int,
        cmd: Any,
        output: Any = None,
        stderr: Any = None,
        *,
        result: Result[Any] | None = None,
        why: str | None = None,
    ) -> None:
        why = why or f"returned exit status {returncode}"
        super().__init__(f"command {cmd!r} {why}")
        self.returncode = returncode
        self.cmd = cmd
        self.output = output
        self.stderr = stderr
        self.result = result


_CLASSES: dict[str, type[CtrError]] = {
    "invalid_input": InvalidInput,
    "not_found": NotFound,
    "already_exists": AlreadyExists,
    "busy": SetupError,
    "denied": SandboxPermissionError,
    "unsupported": CapabilityError,
    "program_not_found": ProgramNotFound,
    "program_not_executable": ProgramNotExecutable,
    "setup_failed": SetupError,
}


def of_native(
    message: str, kind: str, stage: str, errno: int | None, hint: str | None
) -> CtrError:
    """The exception for an error of the library."""
    cls = _CLASSES.get(kind, CtrError)
    if (kind, stage) == ("not_found", "image"):
        cls = ImageNotFound
    return cls(message, kind=kind, stage=stage, errno=errno, hint=hint)
