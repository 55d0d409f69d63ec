"""Run isolated, limited, measured processes, without a daemon.

    >>> import libctr
    >>> result = libctr.run(["echo", "hello"], text=True,
    ...                     limits=libctr.Limits(memory="64M"), timeout=10)
    >>> result.stdout, result.outcome, result.usage.memory_peak
    ('hello\\n', <Outcome.EXITED: 'exited'>, 417792)

`run` is shaped like `subprocess.run`. The program sees the host's root
read-only under a throw-away layer, no network, no variables of the host, and
no other process; when the call returns, no process of it exists.
"""

from ._errors import (
    AlreadyExists,
    CapabilityError,
    ContainerLost,
    CtrError,
    ExitError,
    ImageNotFound,
    InvalidInput,
    NotFound,
    ProgramNotExecutable,
    ProgramNotFound,
    SandboxPermissionError,
    SetupError,
    TimeoutExpired,
)
from ._libctr import Runtime, __version__
from ._result import Outcome, Result, Usage
from ._probe import Feature, Finding, Probe, probe
from ._run import run
from ._spec import Limits, Mount, Network

__all__ = [
    "AlreadyExists",
    "CapabilityError",
    "ContainerLost",
    "CtrError",
    "ExitError",
    "Feature",
    "Finding",
    "ImageNotFound",
    "InvalidInput",
    "Limits",
    "Mount",
    "Network",
    "NotFound",
    "Outcome",
    "Probe",
    "ProgramNotExecutable",
    "ProgramNotFound",
    "Result",
    "Runtime",
    "SandboxPermissionError",
    "SetupError",
    "TimeoutExpired",
    "Usage",
    "__version__",
    "probe",
    "run",
]
