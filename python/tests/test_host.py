"""The process that calls: threads, forks, signals, and what must not change."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import libctr
from libctr import _run

Run = Callable[..., Any]


def test_eight_threads_run_at_the_same_time(run: Run) -> None:
    def task(number: int) -> Any:
        return run(["sh", "-c", f"sleep 0.5; echo {number}"], timeout=120).stdout

    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(task, range(8)))
    assert outputs == [f"{number}\n".encode() for number in range(8)]
    # One after the other would take four seconds of sleep alone.
    assert time.monotonic() - begun < 4


def test_other_threads_go_on_while_one_waits(run: Run) -> None:
    done = threading.Event()

    def wait() -> None:
        run(["sleep", "1"])
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    counted = 0
    while not done.is_set():
        counted += 1
        time.sleep(0.01)
    thread.join()
    assert counted > 10


def in_fork(runtime: libctr.Runtime, number: int) -> bytes:
    return libctr.run(["echo", str(number)], runtime=runtime).stdout


def test_forked_workers_run_containers_of_their_own(run: Run, runtime: libctr.Runtime) -> None:
    fork = multiprocessing.get_context("fork")
    with fork.Pool(2) as pool:
        got = pool.starmap(in_fork, [(runtime, number) for number in range(4)])
        assert got == [f"{number}\n".encode() for number in range(4)]


def test_forked_child_uses_the_objects_of_its_parent(
    run: Run, runtime: libctr.Runtime, monkeypatch: Any
) -> None:
    # As if the parent had used the default directories.
    monkeypatch.setattr(_run, "_default", (os.getpid(), runtime))
    monkeypatch.setattr(_run, "Runtime", lambda: pickle.loads(pickle.dumps(runtime)))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            default = libctr.run(["echo", "6"]).stdout
            assert _run._default is not None and _run._default[0] == os.getpid()
            os.write(writer, in_fork(runtime, 5) + default)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"5\n6\n"
    assert os.waitpid(child, 0) == (child, 0)


def test_exceptions_come_back_from_worker_processes(runtime: libctr.Runtime) -> None:
    # Without the leak check of `run`: spawn keeps a process of its own.
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        future = pool.submit(libctr.run, ["sleep", "60"], timeout=0.2, runtime=runtime)
        with pytest.raises(libctr.TimeoutExpired) as caught:
            future.result()
    assert caught.value.result is not None
    assert caught.value.result.outcome is libctr.Outcome.WALL_TIMEOUT


@pytest.mark.parametrize(
    "script",
    ["echo ready > /m/ready; sleep 60", "echo ready > /m/ready; exec >&- 2>&-; sleep 60"],
    ids=["reading", "waiting"],
)
def test_keyboard_interrupt_ends_the_container_and_is_raised(
    run: Run, runtime: libctr.Runtime, tmp_path: Path, script: str
) -> None:
    def interrupt() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", script], mounts=[libctr.Mount.rw(tmp_path, "/m")])
    thread.join()
    assert time.monotonic() - begun < 20
    assert os.listdir(runtime.run_directory / "containers") == []


def test_signal_handlers_that_return_do_not_end_the_container(run: Run) -> None:
    seen = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        result = run(["sh", "-c", "sleep 0.5; echo done"])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert result.stdout == b"done\n"
    assert len(seen) >= 2


def test_the_host_is_as_it_was(run: Run, tmp_path: Path) -> None:
    def host() -> list[Any]:
        mask = os.umask(0)
        os.umask(mask)
        handlers = [signal.getsignal(number) for number in signal.valid_signals()]
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return [os.getcwd(), mask, handlers, blocked, dict(os.environ), threading.active_count()]

    before = host()
    run(["true"])
    assert host() == before
