"""State of the tests' containers lies in a directory of their own."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import libctr


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Limits that an ordinary user has no control group for are a skip."""
    try:
        yield
    except libctr.CtrError as error:
        if os.geteuid() != 0 and "cannot be enforced" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> libctr.Runtime:
    place = tmp_path_factory.mktemp("libctr")
    return libctr.Runtime(run=place / "run", data=place / "data")


def _things(runtime: libctr.Runtime) -> dict[str, list[str]]:
    """What a run could leave behind."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return {
        "containers": os.listdir(runtime.run_directory / "containers"),
        "children": children.read_text().split(),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
    }


@pytest.fixture
def run(runtime: libctr.Runtime) -> Iterator[Callable[..., Any]]:
    """`libctr.run` with the tests' directories; nothing may be left after it."""
    call = functools.partial(libctr.run, runtime=runtime)
    # The helper's program and the image store are kept open from their first
    # use on.
    call(["true"])
    with pytest.raises(libctr.ImageNotFound):
        call(["true"], image="none:1")
    before = _things(runtime)
    yield call
    assert _things(runtime) == before
