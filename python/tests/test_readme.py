"""The README's example does what it says."""

import pathlib
import re

import pytest

import libctr


def test_example_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runtime: libctr.Runtime
) -> None:
    readme = pathlib.Path(__file__).parents[2] / "README.md"
    found = re.search(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    assert found is not None
    plain = libctr.run
    monkeypatch.setattr(libctr, "run", lambda *args, **keys: plain(*args, runtime=runtime, **keys))
    exec(compile(found[1], "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert said.startswith("hello from "), said
    assert "exited" in said.lower(), said
