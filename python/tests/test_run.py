"""`libctr.run`: what goes in and what comes out."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import libctr
from libctr import Limits, Mount, Network, Outcome, _run

Run = Callable[..., Any]


def test_hello_is_run_limited_and_measured(run: Run) -> None:
    result = run(
        ["sh", "-c", "echo hello from $(hostname)"],
        hostname="box",
        text=True,
        limits=Limits(memory="64M", pids=32),
        timeout=10,
    )
    assert result.stdout == "hello from box\n"
    assert (result.returncode, result.outcome) == (0, Outcome.EXITED)
    assert result.usage.memory_peak is not None
    assert 0 < result.usage.memory_peak < 64 << 20
    assert result.usage.wall is not None and 0 < result.usage.wall < 10
    assert isinstance(result, subprocess.CompletedProcess)
    assert "outcome='exited'" in repr(result)


def test_output_is_bytes(run: Run) -> None:
    result = run(["printf", r"a\377\r\n"])
    assert (result.stdout, result.stderr) == (b"a\xff\r\n", b"")


def test_text_is_decoded_with_universal_newlines(run: Run) -> None:
    result = run(["sh", "-c", r"printf 'ä\r\nb'; printf err >&2"], text=True, encoding="utf-8")
    assert (result.stdout, result.stderr) == ("ä\nb", "err")


def test_text_that_is_none_is_an_error_unless_replaced(run: Run) -> None:
    with pytest.raises(UnicodeDecodeError):
        run(["printf", r"\377"], encoding="utf-8")
    assert run(["printf", r"\377"], encoding="utf-8", errors="replace").stdout == "\ufffd"


def test_output_not_captured_is_none_and_goes_to_our_streams(run: Run, capfd: Any) -> None:
    result = run(["sh", "-c", "echo seen"], capture_output=False)
    assert (result.stdout, result.stderr) == (None, None)
    assert capfd.readouterr().out == "seen\n"


def test_input_is_read(run: Run) -> None:
    big = os.urandom(300_000)
    assert run(["cat"], input=big).stdout == big
    assert run(["cat"], input=bytearray(b"abc")).stdout == b"abc"
    assert run(["cat"], input="ä", encoding="utf-8").stdout == "ä"


def test_input_not_given_is_empty(run: Run) -> None:
    assert run(["cat"]).stdout == b""
    assert run(["cat"], input=b"").stdout == b""


@pytest.mark.parametrize(("input", "text"), [("str", False), (b"bytes", True), (7, False)])
def test_input_of_the_wrong_type_is_refused(run: Run, input: Any, text: bool) -> None:
    with pytest.raises(TypeError):
        run(["cat"], input=input, text=text)


def test_env_is_seen_and_nothing_of_the_host(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    result = run(["env"], env={"GIVEN": "1"}, text=True)
    names = {line.partition("=")[0] for line in result.stdout.splitlines()}
    assert "GIVEN" in names and "SECRET" not in names


def test_env_is_inherited_when_asked(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    monkeypatch.delenv("ABSENT", raising=False)
    show = ["sh", "-c", "echo $SECRET,$ABSENT"]
    assert run(show, inherit_env=["SECRET", "ABSENT"]).stdout == b"s3cret,\n"
    assert run(show, inherit_env=True).stdout == b"s3cret,\n"
    assert run(show, inherit_env=True, env={"SECRET": "mine"}).stdout == b"mine,\n"
    with pytest.raises(TypeError):
        run(show, inherit_env="SECRET")


@pytest.mark.parametrize("args", ["echo hello", b"echo hello", Path("/bin/true")])
def test_args_that_are_no_sequence_are_refused(run: Run, args: Any) -> None:
    with pytest.raises(TypeError, match=r"\['sh', '-c', "):
        run(args)


def test_args_may_be_paths_and_any_bytes(run: Run) -> None:
    args = [Path("/usr/bin/printf"), "%s-%s", b"\xff", os.fsdecode(b"\xfe")]
    assert run(args).stdout == b"\xff-\xfe"


def test_args_of_other_types_are_refused(run: Run) -> None:
    with pytest.raises(TypeError):
        run(["echo", 5])
    with pytest.raises(libctr.InvalidInput, match="args"):
        run(["echo", "a\0b"])


def test_cwd_and_user_are_those_of_the_program(run: Run) -> None:
    assert run(["sh", "-c", "pwd; id -u"], cwd="/usr", user=1234).stdout == b"/usr\n1234\n"
    assert run(["id", "-un"], user="nobody").stdout == b"nobody\n"


def test_network_is_off_unless_asked(run: Run) -> None:
    devices = ["sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1"]
    assert run(devices).stdout.split() == [b"lo"]
    own = {line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]}
    seen = run(devices, network=Network.HOST, text=True).stdout.split()
    assert set(seen) == own
    assert run(devices, network="none").stdout.split() == [b"lo"]
    with pytest.raises(ValueError):
        run(devices, network="everything")


def test_mounts_are_read_only_writable_or_copies(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    write = ["sh", "-c", "echo new > /m/file && cat /m/file"]
    assert run(write, mounts=[Mount.ro(tmp_path, "/m")]).returncode != 0
    assert run(write, mounts=[Mount.cow(tmp_path, "/m")]).stdout == b"new\n"
    assert (tmp_path / "file").read_text() == "old"
    assert run(write, mounts=[Mount.tmpfs("/m", size="1M")]).stdout == b"new\n"
    assert run(write, mounts=[Mount.rw(tmp_path, "/m")]).stdout == b"new\n"
    assert (tmp_path / "file").read_text() == "new\n"


def test_mount_of_a_relative_path_is_taken_from_here(
    run: Run, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert run(["ls", "/m"], mounts=[Mount.ro("data", "/m")]).stdout == b"file\n"


def test_root_may_be_a_directory(run: Run, tmp_path: Path) -> None:
    # A directory without the program: the error is of this root.
    with pytest.raises(libctr.ProgramNotFound) as caught:
        run(["/bin/true"], image=tmp_path)
    assert any(str(tmp_path) in note for note in getattr(caught.value, "__notes__", [str(tmp_path)]))


def test_returncode_of_a_signal_is_negative(run: Run) -> None:
    result = run(["sh", "-c", "kill -USR1 $$"])
    assert (result.returncode, result.outcome) == (-10, Outcome.SIGNALED)


def test_runtime_of_the_default_directories_is_made_once(
    runtime: libctr.Runtime, monkeypatch: Any
) -> None:
    monkeypatch.setattr(_run, "_default", None)
    # The default directories are the machine's own: these stand for them.
    monkeypatch.setattr(_run, "Runtime", lambda: pickle.loads(pickle.dumps(runtime)))
    assert libctr.run(["echo", "x"]).stdout == b"x\n"
    assert _run._default_runtime() is _run._default_runtime()
