from pathlib import Path
from typing import final

from ._spec import StrPath

__all__ = ["Runtime", "__version__", "probe"]

__version__: str

def probe(*, run: StrPath | None = None, data: StrPath | None = None) -> str: ...
@final
class Runtime:
    """A state directory and a data directory; threads may share it."""

    def __new__(cls, *, run: StrPath | None = None, data: StrPath | None = None) -> Runtime: ...
    @property
    def run_directory(self) -> Path: ...
    @property
    def data_directory(self) -> Path: ...
    def run_to_end(
        self, spec: bytes, *, input: bytes | None, capture: bool, signals: bool
    ) -> tuple[bytes, bytes, int, int, str]: ...
    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, Path]]: ...
