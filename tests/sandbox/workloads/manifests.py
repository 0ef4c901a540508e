# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of ``manifests/``, filled in for a cluster."""

from __future__ import annotations

import hashlib
import typing as t
from pathlib import Path

import jinja2
import yaml

from ..model import DOMAIN, REGISTRY_NAME

if t.TYPE_CHECKING:
    from ..api import Json

__all__ = ["FOLDER", "objects", "text"]

FOLDER = Path(__file__).parents[1] / "manifests"


def objects(name: str, **values: t.Any) -> list[Json]:
    """All documents of ``manifests/<name>.yaml.j2``; a value it names and does not get is an error."""
    rendered = _environment().get_template(f"{name}.yaml.j2").render(values)
    return [document for document in yaml.safe_load_all(rendered) if document]


def text(name: str) -> str:
    """A file of ``manifests/`` as it is."""
    return (FOLDER / name).read_text()


def _environment() -> jinja2.Environment:
    # No HTML is made here, so nothing is to be escaped.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.globals.update(registry=REGISTRY_NAME, domain=DOMAIN, checksum=_checksum)
    return environment


def _checksum(name: str) -> str:
    """What a chart writes when it is rendered, and which no later change of the object alters."""
    return hashlib.sha256(name.encode()).hexdigest()
