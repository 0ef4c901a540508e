# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what a file of a Git repository is, and why it is not edited where that would not be safe.

A template's text is not the configuration, and may not even be YAML: it is told by its name, by control statements
(``{% if … %}``, ``{{ range … }}``, ``#% … %#``, ``%{ if … }``) and by expressions that are not part of a value.
``${NAME}`` is no template: it stays what it is.
"""

from __future__ import annotations

import re
import typing as t

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import V1ALPHA1, mapping

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import Json

__all__ = [
    "JSON_PATCH",
    "MACHINE_CONFIG",
    "PATCH",
    "TALHELPER",
    "TOPF",
    "json_patch_paths",
    "recognise",
    "sops_problem",
    "template_problem",
]

MACHINE_CONFIG: t.Final = "machine_config"
PATCH: t.Final = "patch"
JSON_PATCH: t.Final = "json_patch"
TALHELPER: t.Final = "talhelper"
TOPF: t.Final = "topf"

_TEMPLATE_NAME = re.compile(r"\.(j2|jinja2?|tpl|tmpl|gotmpl)$")
_CONTROL = re.compile(
    r"\{%|^\s*#%|%\{~?\s*(?:if|for|else|end)"
    r"|\{\{-?\s*(?:if|else|end|range|with|define|template|block|include)\b",
    re.MULTILINE,
)
_EXPRESSION = re.compile(r"\{\{|#\{")
_V1ALPHA1_KEYS = frozenset({"version", "debug", "persist", "machine", "cluster", "$patch"})


def recognise(file: str, text: str) -> str:
    """The kind of the file; Conflict that names file and line where it cannot be edited, BadInput where it is another.

    ``file`` is how errors name it; its last part counts too.
    """
    problem = template_problem(file, text)
    if problem:
        raise Conflict(problem[0], where=f"{file} line {problem[1]}", cure="Edit the template, or give another file")
    try:
        documents = _yaml_nodes.load_all(text)
    except Conflict as error:
        raise Conflict(error.problem, where=f"{file} {error.where}".strip()) from None
    sops = sops_problem(text)
    if sops:
        cure = "Put what is no secret into a patch of its own and give that, or edit this one with sops"
        raise Conflict(sops[0], where=f"{file} line {sops[1]}", cure=cure)
    return _kind(file, text, documents)


def template_problem(file: str, text: str) -> tuple[str, int] | None:
    """(what is wrong, line) where the text is a template."""
    if _TEMPLATE_NAME.search(file):
        found = _CONTROL.search(text) or _EXPRESSION.search(text)
        return "this is a template, by its name", _line(text, found.start() if found else 0)
    marks = [*_CONTROL.finditer(text), *_EXPRESSION.finditer(text)]
    if not marks:
        return None
    try:
        values = [node for _, node, _ in _yaml_nodes.walk(text) if isinstance(node, yaml.ScalarNode)]
    except Conflict:
        return "this is a template, and no YAML", _line(text, marks[0].start())
    spans = [(node.start_mark.index, node.end_mark.index) for node in values if _yaml_nodes.origin(node) is node]
    for mark in marks:
        start = mark.start() + len(mark[0]) - len(mark[0].lstrip())
        inside = any(first <= start < end for first, end in spans)
        comment = not _CONTROL.match(text, mark.start()) and _in_comment(text, start)
        if not inside and not comment:
            return "this is a template: a statement here is part of no value", _line(text, start)
    return None


def _in_comment(text: str, position: int) -> bool:
    before = text[text.rfind("\n", 0, position) + 1 : position]
    return re.search(r"(^|\s)#", before) is not None


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def sops_problem(text: str) -> tuple[str, int] | None:
    """(what is wrong, line) where SOPS watches over the file."""
    if "sops" not in text:
        return None
    for path, node, line in _yaml_nodes.walk(text):
        if path[1:] == ("sops",) and isinstance(node, yaml.MappingNode):
            return "encrypted with SOPS, whose MAC any edit would break", line
    return None


def _kind(file: str, text: str, documents: list[t.Any]) -> str:
    filled = [document for document in documents if document is not None]
    first = mapping(filled[0]) if len(filled) == 1 else {}
    if {"clusterName", "nodes"} <= first.keys() and "kind" not in first:
        return TOPF if "clusterEndpoint" in first else TALHELPER
    if filled and all(isinstance(document, list) for document in filled):
        return JSON_PATCH
    for number, document in enumerate(documents):
        problem = _not_of_talos(document) if document is not None else ""
        if problem:
            cure = "Give a machine configuration, a patch, talconfig.yaml or topf.yaml"
            raise BadInput(problem, where=f"{file} line {_line_of_document(text, number)}", cure=cure)
    mains = [document for document in filled if "kind" not in document]
    return MACHINE_CONFIG if any({"machine", "version"} <= main.keys() for main in mains) else PATCH


def _not_of_talos(document: t.Any) -> str:
    if not isinstance(document, dict):
        return "no Talos configuration: this document is no mapping"
    if "kind" in document:
        version = document.get("apiVersion")
        return (
            "" if version == V1ALPHA1 else f"no Talos configuration: {version or 'no apiVersion'}, {document['kind']}"
        )
    strange = sorted(str(key) for key in document.keys() - _V1ALPHA1_KEYS)
    return f"no Talos configuration: it has a top-level key {strange[0]}" if strange else ""


def _line_of_document(text: str, number: int) -> int:
    return _yaml_nodes.compose(text)[number].start_mark.line + 1


def json_patch_paths(document: t.Any) -> tuple[str, ...]:
    """The paths that the operations of a JSON patch (RFC 6902) name."""
    operations: list[Json] = [mapping(item) for item in document] if isinstance(document, list) else []
    return tuple(str(operation[key]) for operation in operations for key in ("path", "from") if key in operation)
