# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: BuildKit's flag ``registry.insecure=true`` in the comma lists of ``--output`` and of caches.

It is for the image or the cache that the same list names (``name=``, ``ref=``), wherever the list stands: in an
option's own word or the next, in a variable, in an item of ``args``, in the value of a parameter.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import Word

__all__ = ["FALSE", "TRUE", "Addition", "Flag", "list_addition", "list_flags", "list_images"]

# Go's ParseBool. On an output an empty value counts as true as well.
TRUE: t.Final = frozenset({"1", "t", "T", "true", "TRUE", "True", ""})
FALSE: t.Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})

_FLAG = "registry.insecure"
_FIELD = re.compile(r'"(?:[^"]|"")*"|[^,"]+')
_OPTION = re.compile(r"(?:-o|--(?:output|export-cache|import-cache|cache-to|cache-from))=")


@dataclass(frozen=True, kw_only=True)
class Flag:
    """``words``: what is to go, whole words, or with ``within`` the part of a word.

    ``switch``: the value, where it is a variable or parameter that has to be ``secure`` in place of the opposite.
    ``images`` and ``hosts``: the parts of words that tell for which registry it is, none where nothing does.
    """

    name: str
    words: tuple[Word, ...]
    images: tuple[Word, ...] = ()
    hosts: tuple[Word, ...] = ()
    within: bool = False
    switch: Word | None = None
    secure: str = "true"


@dataclass(frozen=True, kw_only=True)
class Addition:
    """``texts`` to be put behind a ``word`` as words of their own, or with ``within`` at its end.

    ``{host}`` in them stands for the registry's name.
    """

    texts: tuple[str, ...]
    word: Word
    images: tuple[Word, ...] = ()
    hosts: tuple[Word, ...] = ()
    within: bool = False


@dataclass(frozen=True, kw_only=True)
class _Field:
    """``value`` is None where it is empty. ``cut``: its characters, with the comma that goes with it."""

    name: str
    value: Word | None
    cut: tuple[int, int]


def list_flags(word: Word) -> Iterator[Flag]:
    """The flag in a word that is a comma list, or an option with one (``--output=type=…``)."""
    if _FLAG not in word.text:
        return
    fields = _fields(word)
    for field in fields:
        if field.name != _FLAG or len(fields) == 1:
            continue
        part, value, images = word.part(*field.cut), field.value, _images(fields)
        name = part.shown.strip(",")
        if value is None or value.text in TRUE:
            yield Flag(name=name, words=(part,), images=images, within=True)
        elif value.parameter or value.variable:
            yield Flag(name=name, words=(), images=images, switch=value, secure="false")


def list_addition(word: Word) -> Addition | None:
    """The flag for a comma list that asks a registry, and has none yet."""
    images = list_images(word)
    if not images or any(field.name == _FLAG for field in _fields(word)):
        return None
    return Addition(texts=(f",{_FLAG}=true",), word=word, images=images, within=True)


def list_images(word: Word) -> tuple[Word, ...]:
    """What a comma list pushes, or takes from or puts into a cache, in a registry; nothing for another word."""
    if "type=" not in word.text:
        return ()
    fields = _fields(word)
    values = {field.name: field.value.text if field.value else "" for field in fields}
    kind = values.get("type")
    asks = kind == "registry" or (kind == "image" and values.get("push", "false") in TRUE)
    return _images(fields) if asks else ()


def _fields(word: Word) -> list[_Field]:
    option = _OPTION.match(word.text)
    first = option.end() if option else 0
    fields: list[_Field] = []
    for found in _FIELD.finditer(word.text, first):
        start, end = found.span()
        cut = (start - 1, end) if start > first else (start, min(end + 1, len(word.text)))
        if found[0].startswith('"'):
            start, end = start + 1, end - 1
        name, equals, _value = word.text[start:end].partition("=")
        # name=a/b,c/d: the second image has no name of its own.
        at = start + len(name) + 1 if equals else start
        fields.append(_Field(name=name if equals else "", value=word.part(at, end) if at < end else None, cut=cut))
    return fields


def _images(fields: Sequence[_Field]) -> tuple[Word, ...]:
    images: list[Word] = []
    for field in fields:
        if field.value and field.name == "ref":
            images.append(field.value)
        elif field.value and field.name == "name":
            images += [field.value.part(*found.span()) for found in re.finditer(r"[^,]+", field.value.text)]
    return tuple(images)
