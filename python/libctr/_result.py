"""How a program ended, what it wrote and what it used."""

from __future__ import annotations

import dataclasses
import enum
import json
import signal
import subprocess
from typing import Any, TypeVar

from ._errors import ExitError

T = TypeVar("T", bound=str | bytes)


class Outcome(str, enum.Enum):
    """How a container ended, as the kernel told it; never guessed."""

    EXITED = "exited"
    SIGNALED = "signaled"
    OOM_KILLED = "oom_killed"
    WALL_TIMEOUT = "wall_timeout"
    CPU_TIMEOUT = "cpu_timeout"
    OUTPUT_LIMIT = "output_limit"
    PIDS_LIMIT = "pids_limit"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """What all processes together used. ``None``: not measured here."""

    wall: float | None = None
    """Seconds from the program's start to the end of the last process."""
    cpu_user: float | None = None
    """Seconds of processor time in user mode."""
    cpu_system: float | None = None
    """Seconds of processor time in the kernel."""
    memory_peak: int | None = None
    """Most bytes of memory at one time."""
    oom_kills: int | None = None
    """Processes that the kernel killed because memory had run out."""
    pids_peak: int | None = None
    """Most processes and threads at one time."""
    pids_refused: int | None = None
    """How often `Limits.pids` refused a process."""
    io_read: int | None = None
    """Bytes read from block devices."""
    io_written: int | None = None
    """Bytes written to block devices."""
    started_in: float | None = None
    """Seconds from the call to the program's start."""


class Result(subprocess.CompletedProcess[T]):
    """A finished program; a `subprocess.CompletedProcess` that knows more."""

    outcome: Outcome
    usage: Usage
    stdout_lost: int
    """Bytes of standard output over `Limits.output`."""
    stderr_lost: int

    def __init__(
        self,
        args: Any,
        returncode: int,
        stdout: T | None = None,
        stderr: T | None = None,
        *,
        outcome: Outcome = Outcome.EXITED,
        usage: Usage = Usage(),
        stdout_lost: int = 0,
        stderr_lost: int = 0,
    ) -> None:
        super().__init__(args, returncode, stdout, stderr)
        self.outcome = outcome
        self.usage = usage
        self.stdout_lost = stdout_lost
        self.stderr_lost = stderr_lost

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, outcome={self.outcome.value!r}, usage={self.usage!r})"

    def check_returncode(self) -> None:
        """Raises `ExitError` unless the program ended by itself with 0."""
        if self.returncode != 0 or self.outcome is not Outcome.EXITED:
            raise ExitError(
                self.returncode, self.args, self.stdout, self.stderr, result=self,
                why=self.describe(),
            )

    def describe(self) -> str:
        """How it ended, in words."""
        peak = self.usage.memory_peak
        words = {
            Outcome.OOM_KILLED: "was killed: out of memory"
            + (f", peak {peak} bytes" if peak is not None else ""),
            Outcome.WALL_TIMEOUT: "was killed: its time was over",
            Outcome.CPU_TIMEOUT: "was killed: its processor time was used up",
            Outcome.OUTPUT_LIMIT: "was killed: it wrote more than it may",
            Outcome.PIDS_LIMIT: "failed: it had as many processes as it may",
            Outcome.CANCELLED: "was cancelled",
        }
        if self.outcome in words:
            return words[self.outcome]
        if self.returncode >= 0:
            return f"returned exit status {self.returncode}"
        try:
            return f"died of {signal.Signals(-self.returncode).name}"
        except ValueError:
            return f"died of signal {-self.returncode}"


@dataclasses.dataclass(frozen=True, slots=True)
class Exit:
    """The exit record."""

    outcome: Outcome
    returncode: int | None
    usage: Usage

    @classmethod
    def of_json(cls, text: str) -> Exit:
        record = json.loads(text)
        code, number = record.get("code"), record.get("signal")
        figures = record["usage"]
        times = {"wall", "cpu_user", "cpu_system", "started_in"}
        usage = {}
        for field in dataclasses.fields(Usage):
            key = f"{field.name}_ns" if field.name in times else field.name
            value = figures.get(key)
            timed = value is not None and field.name in times
            usage[field.name] = value / 1e9 if timed else value
        return cls(
            Outcome(record["outcome"]),
            code if code is not None else -number if number is not None else None,
            Usage(**usage),
        )
