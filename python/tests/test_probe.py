"""What `probe` says against what `run` then does."""

from pathlib import Path

import libctr


def test_probe_finds_what_a_run_needs(runtime: libctr.Runtime) -> None:
    found = libctr.probe(run=runtime.run_directory, data=runtime.data_directory)
    assert found["level"] in {"full", "without_limits"}
    states = {finding["ability"]: finding["state"] for finding in found["findings"]}
    assert states["helper"] == states["mount.proc"] == "ok"
    result = libctr.run(["echo", "hello"], text=True, runtime=runtime)
    assert result.stdout == "hello\n"


def test_probe_of_a_directory_that_cannot_be_made_is_no_exception(tmp_path: Path) -> None:
    found = libctr.probe(run="/proc/nothing", data=tmp_path)
    assert found["level"] == "nothing"
    (finding,) = (one for one in found["findings"] if one["ability"] == "directory.run")
    assert finding["state"] == "missing"
    assert finding["consequence"] == "no container can be started"
    assert finding["fix"].endswith("ctrun --root DIR \u2026")
    assert list(tmp_path.iterdir()) == []
