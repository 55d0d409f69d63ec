"""`probe`: what containers can do here, found out by trying."""

from __future__ import annotations

import json
from typing import Literal, TypedDict, cast

from . import _libctr
from ._spec import StrPath


class _Found(TypedDict):
    ability: str
    state: Literal["ok", "degraded", "missing"]
    detail: str


class Finding(_Found, total=False):
    """One ability. Where it is not `ok`: what that means, and what changes it."""

    consequence: str
    because: str
    fix: str


class Feature(TypedDict):
    """One key of a document, and the abilities that are missing for it."""

    key: str
    works: bool
    needs: list[str]


class Probe(TypedDict):
    """Everything that was found out."""

    kernel: str
    uid: int
    level: Literal["full", "without_limits", "degraded_only", "nothing"]
    features: list[Feature]
    findings: list[Finding]


def probe(*, run: StrPath | None = None, data: StrPath | None = None) -> Probe:
    """Try what containers need: namespaces, mounts, control groups, filters.

    Takes at most ten seconds, usually one; nothing of the machine changes.
    `run` and `data` are the directories, as those of `Runtime`. What is missing
    is a finding and no exception.
    """
    return cast(Probe, json.loads(_libctr.probe(run=run, data=data)))
