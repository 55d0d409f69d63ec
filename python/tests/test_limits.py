"""Limits: what happens at each, and what is told of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import libctr
from libctr import Limits, Outcome

Run = Callable[..., Any]
HUNGRY = ["sh", "-c", "x=x; while true; do x=$x$x; done"]


@pytest.mark.parametrize("timeout", [0.3, timedelta(milliseconds=300)])
def test_timeout_raises_with_partial_output_and_the_whole_result(run: Run, timeout: Any) -> None:
    begun = time.monotonic()
    with pytest.raises(libctr.TimeoutExpired) as caught:
        run(["sh", "-c", "echo so far; sleep 60"], timeout=timeout, text=True)
    assert time.monotonic() - begun < 20
    error: Any = caught.value
    for twin in (libctr.CtrError, subprocess.TimeoutExpired, TimeoutError):
        assert issubclass(type(error), twin)
    assert (error.output, error.stdout, error.stderr) == ("so far\n", "so far\n", "")
    assert (error.timeout, error.cmd[0]) == (0.3, "sh")
    assert error.result is not None
    assert (error.result.outcome, error.result.returncode) == (Outcome.WALL_TIMEOUT, -9)
    assert "timed out after 0.3 seconds" in str(error)


def test_timeout_returns_when_asked(run: Run) -> None:
    result = run(["sleep", "60"], timeout=0.2, on_limit="return")
    assert result.outcome is Outcome.WALL_TIMEOUT
    with pytest.raises(libctr.ExitError, match="time was over"):
        result.check_returncode()


def test_timeout_not_reached_changes_nothing(run: Run) -> None:
    assert run(["true"], timeout=60).outcome is Outcome.EXITED


def test_timeout_ends_everything_not_only_the_first_process(run: Run) -> None:
    begun = time.monotonic()
    with pytest.raises(libctr.TimeoutExpired):
        run(["sh", "-c", "setsid sleep 60 & sleep 60"], timeout=0.2)
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_timeout_out_of_range_is_refused(run: Run, timeout: float) -> None:
    with pytest.raises(ValueError):
        run(["true"], timeout=timeout)
    with pytest.raises(TypeError):
        run(["true"], timeout="1")


def test_cpu_time_raises_as_timeout(run: Run) -> None:
    busy = ["sh", "-c", "while true; do :; done"]
    with pytest.raises(libctr.TimeoutExpired) as caught:
        run(busy, limits=Limits(cpu_time=0.2), timeout=60)
    assert caught.value.timeout == 0.2
    assert caught.value.result is not None
    assert caught.value.result.outcome is Outcome.CPU_TIMEOUT


def test_oom_is_an_outcome_of_its_own(run: Run) -> None:
    result = run(HUNGRY, limits=Limits(memory="16M"), timeout=60)
    assert (result.outcome, result.returncode) == (Outcome.OOM_KILLED, -9)
    assert result.usage.oom_kills is not None and result.usage.oom_kills >= 1
    assert result.usage.memory_peak == 16 << 20


def test_sigkill_without_a_limit_is_no_oom(run: Run) -> None:
    result = run(["sh", "-c", "kill -9 $$"], limits=Limits(memory="64M"))
    assert (result.outcome, result.returncode) == (Outcome.SIGNALED, -9)


def test_oom_raises_with_check_only(run: Run) -> None:
    with pytest.raises(libctr.ExitError, match="out of memory, peak 16777216 bytes"):
        run(HUNGRY, limits=Limits(memory=16 << 20), timeout=60, check=True)


def test_output_over_the_limit_is_counted(run: Run) -> None:
    endless = ["sh", "-c", "while true; do echo 0123456789; done"]
    result = run(endless, limits=Limits(output=1000), timeout=60)
    assert result.outcome is Outcome.OUTPUT_LIMIT
    assert (len(result.stdout), result.stdout[:4], result.stderr_lost) == (1000, b"0123", 0)
    assert result.stdout_lost > 0


def test_output_tail_lets_the_program_go_on(run: Run) -> None:
    result = run(["seq", "1", "1000"], limits=Limits(output=9, keep="tail"))
    assert (result.outcome, result.stdout) == (Outcome.EXITED, b"999\n1000\n")
    assert result.stdout_lost == 3893 - 9


def test_output_cut_within_a_character_is_still_text(run: Run) -> None:
    result = run(["printf", "ää"], limits=Limits(output=3), encoding="utf-8")
    assert (result.stdout, result.stdout_lost) == ("ä\ufffd", 1)


def test_a_limit_of_the_wrong_kind_names_its_path(run: Run) -> None:
    with pytest.raises(libctr.InvalidInput, match=r"limits\.memory") as caught:
        run(["true"], limits=Limits(memory="12Q"))
    assert isinstance(caught.value, ValueError)
    assert (caught.value.kind, caught.value.stage) == ("invalid_input", "spec")


def test_check_raises_for_an_exit_status_and_not_for_zero(run: Run) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=True, text=True)
    error = caught.value
    assert isinstance(error, libctr.ExitError)
    assert (error.returncode, error.stdout, error.stderr) == (3, "out\n", "err\n")
    assert error.result is not None and error.result.outcome is Outcome.EXITED
    assert run(["true"], check=True).returncode == 0
    assert run(["false"]).returncode == 1


def test_on_limit_is_one_of_two(run: Run) -> None:
    with pytest.raises(ValueError, match="on_limit"):
        run(["true"], on_limit="ignore")
