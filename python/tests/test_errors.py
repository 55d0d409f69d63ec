"""Exceptions: classes, what they say, and that they travel."""

from __future__ import annotations

import copy
import errno
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import libctr
from libctr import Limits, Outcome, Result, Usage

Run = Callable[..., Any]

RESULT: Result[bytes] = Result(
    ["a"], -9, b"out", b"err", outcome=Outcome.OOM_KILLED, usage=Usage(wall=1.5), stdout_lost=7
)
MADE = [
    libctr.TimeoutExpired(["a"], 1.5, b"out", b"err", result=RESULT),
    libctr.ExitError(3, ["a"], b"out", b"err", result=RESULT),
    libctr.ContainerLost("gone", kind="lost"),
    libctr.CtrError("x", kind="internal", stage="launch"),
    *(
        cls("exec: text", kind="k", stage="exec", errno=errno.ENOENT, hint="do this")
        for cls in (
            libctr.AlreadyExists,
            libctr.CapabilityError,
            libctr.ImageNotFound,
            libctr.InvalidInput,
            libctr.NotFound,
            libctr.ProgramNotExecutable,
            libctr.ProgramNotFound,
            libctr.SandboxPermissionError,
            libctr.SetupError,
        )
    ),
]


def facts(value: Any) -> dict[str, Any]:
    """Everything that must survive."""
    names = ("errno", "strerror", "filename", "args", "kind", "stage", "hint")
    seen = {name: getattr(value, name, None) for name in names}
    for name, attribute in vars(value).items():
        seen[name] = facts(attribute) if isinstance(attribute, Result) else attribute
    return {"class": type(value), "text": str(value), **seen}


def test_every_exception_is_among_those_tested() -> None:
    public = {c for _, c in inspect.getmembers(libctr, inspect.isclass) if issubclass(c, Exception)}
    assert {type(error) for error in MADE} == public
    assert all(issubclass(cls, libctr.CtrError) for cls in public)


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_exceptions_survive_pickle_and_copy(error: libctr.CtrError) -> None:
    if isinstance(error, OSError):
        error.filename = "/a"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert facts(pickle.loads(pickle.dumps(error, protocol))) == facts(error)
    assert facts(copy.copy(error)) == facts(error)
    assert facts(copy.deepcopy(error)) == facts(error)


def test_values_survive_pickle_and_copy(runtime: libctr.Runtime) -> None:
    assert facts(pickle.loads(pickle.dumps(RESULT))) == facts(RESULT)
    assert facts(copy.deepcopy(RESULT)) == facts(RESULT)
    for value in (Usage(wall=1.0), Limits(memory="1M"), libctr.Mount.tmpfs("/t"), Outcome.LOST):
        assert pickle.loads(pickle.dumps(value)) == value
    again = pickle.loads(pickle.dumps(runtime))
    assert (again.run_directory, again.data_directory) == (
        runtime.run_directory,
        runtime.data_directory,
    )


def test_exceptions_that_were_raised_survive_pickle(run: Run) -> None:
    cases: list[tuple[list[str], dict[str, Any]]] = [
        (["/no/such"], {}),
        (["sleep", "60"], {"timeout": 0.1}),
        (["false"], {"check": True}),
        (["true"], {"image": "no-such-image:1"}),
    ]
    for args, options in cases:
        with pytest.raises(libctr.CtrError) as caught:
            run(args, **options)
        assert facts(pickle.loads(pickle.dumps(caught.value))) == facts(caught.value)


def test_program_missing_is_file_not_found_inside(run: Run) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        run(["/no/such", "arg"])
    error = caught.value
    assert isinstance(error, libctr.ProgramNotFound)
    assert (error.errno, error.filename, error.stage) == (errno.ENOENT, "/no/such", "exec")
    assert str(error).startswith('exec: execve("/no/such"): ENOENT')
    assert error.hint is not None and error.hint in str(error)
    notes = getattr(error, "__notes__", ["searched inside the container, in the host's root"])
    assert notes == ["searched inside the container, in the host's root"]


def test_program_not_executable_is_a_permission_error(run: Run) -> None:
    with pytest.raises(libctr.ProgramNotExecutable) as caught:
        run(["/etc/passwd"])
    assert isinstance(caught.value, PermissionError)
    assert caught.value.errno == errno.EACCES


def test_working_directory_missing_is_file_not_found(run: Run) -> None:
    with pytest.raises(libctr.NotFound) as caught:
        run(["true"], cwd="/no/such")
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.stage == "chdir"


def test_image_missing_is_a_lookup_error(run: Run) -> None:
    with pytest.raises(libctr.ImageNotFound) as caught:
        run(["true"], image="no-such-image:1")
    assert isinstance(caught.value, LookupError)
    assert caught.value.stage == "image"


def test_what_this_version_lacks_is_a_capability_error(run: Run) -> None:
    with pytest.raises(libctr.CapabilityError, match="nat") as caught:
        run(["true"], network=libctr.Network.NAT)
    assert isinstance(caught.value, OSError)


def test_runtime_without_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(libctr.CtrError) as caught:
        libctr.Runtime(run=tmp_path / "file" / "run", data=tmp_path)
    assert (caught.value.stage, caught.value.errno) == ("state", errno.ENOTDIR)
