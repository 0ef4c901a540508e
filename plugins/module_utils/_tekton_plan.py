# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the flags and image references of one object of Tekton, edited for HTTPS or, on the way back, for HTTP.

A flag is edited where all that tells its registry names ours, left alone where all of it names others, and listed where
that is not sure. What mentions an old name of our registry and is no image reference is listed too.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.splithorizon.registry.plugins.module_utils._builder_flags import additions, flags
from ansible_collections.splithorizon.registry.plugins.module_utils._builder_lists import (
    FALSE,
    TRUE,
    list_addition,
    list_flags,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_credentials import (
    projection,
    steps_without_credentials,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_references import (
    Texts,
    is_taken,
    mentions,
    references,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_units import units
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_values import OTHER, OURS, UNSURE, Verdict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_scalars import Drop, Insert, Splice

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._builder_lists import Addition, Flag
    from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import Registry
    from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import Word
    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_objects import Reading
    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_units import Unit
    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path
    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_scalars import Edit

__all__ = [
    "CREDENTIALS",
    "FLAG",
    "HTTP_FLAG",
    "REFERENCE",
    "UNSURE",
    "Note",
    "ObjectPlan",
    "Wanted",
    "plan_object",
    "unique",
]

FLAG, HTTP_FLAG, REFERENCE, CREDENTIALS = "flag", "http_flag", "reference", "credentials"
# Where verification may be switched off: what the rules for commands did not come upon is listed by it.
_TRACES = re.compile(
    r"registry\.insecure=(?!false|FALSE|False|0|f\b|F\b)(?:\$\([\w.-]+\)|\$\{\w+\}|[\w$]*)"
    r"|--skip-tls-verify(?:-pull|-registry)?\b(?!=(?:false|0))|--insecure-(?:registry|pull)\b(?!=(?:false|0))"
    r"|-D(?:jib\.)?allowInsecureRegistries=true|--(?:src-|dest-)?tls-verify=false"
)
# Other programs have this option too, and mean something else.
_TRACES_OF_KANIKO = re.compile(r"--insecure(?![\w=-])")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """``assume``: what is not known before a run is for our registry. ``secret``: with credentials for it, or empty."""

    registry: Registry
    assume: bool = False
    secret: str = ""


@dataclass(frozen=True, kw_only=True)
class Note:
    """``text`` stands at the characters ``span`` of the scalar at ``path``.

    ``edits``: what is done to it; ``reason``: why nothing is.
    """

    kind: str
    path: Path
    span: tuple[int, int]
    text: str
    reason: str = ""
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ObjectPlan:
    """What is edited, what is not sure, and steps without credentials."""

    done: tuple[Note, ...] = ()
    unsure: tuple[Note, ...] = ()
    without_credentials: tuple[Note, ...] = ()

    @property
    def edits(self) -> list[Edit]:
        """All edits, each once."""
        return unique(edit for note in self.done for edit in note.edits)


@dataclass(kw_only=True)
class _Case:
    """One thing that may be edited, and what each command that uses it tells of its registry."""

    note: Note
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        states = {verdict.state for verdict in self.verdicts}
        if len(states) == 1:
            return self.verdicts[0]
        unsure = [verdict for verdict in self.verdicts if verdict.state == UNSURE]
        return unsure[0] if unsure else Verdict(state=UNSURE, reason="it is used for other registries as well")


def plan_object(reading: Reading, wanted: Wanted) -> ObjectPlan:
    """What becomes of an object; a run is only looked at."""
    registry = wanted.registry
    if reading.object.is_editable:
        return _Planner(reading, wanted).plan()
    if not reading.object.is_run or registry.http:
        return ObjectPlan()
    texts = Texts.of(reading.object.tree)
    reason = f"a {reading.object.kind} is never edited"
    left = [*_traces(texts), *((path, span) for path, span, _reason in mentions(texts, registry, taken=()))]
    return ObjectPlan(unsure=tuple(_unsure(texts, path, span, reason) for path, span in left))


class _Planner:
    def __init__(self, reading: Reading, wanted: Wanted) -> None:
        self._reading = reading
        self._wanted = wanted
        self._registry = wanted.registry
        self._units = list(units(reading))
        self._texts = Texts.of(reading.object.tree, self._units)
        self._cases: dict[tuple[Path, int, int], _Case] = {}

    def plan(self) -> ObjectPlan:
        for unit in self._units:
            for flag in _flags_of(unit):
                self._flag(unit, flag)
            for addition in self._additions(unit) if self._registry.http else ():
                self._addition(unit, addition)
        cases = list(self._cases.values())
        ours = [case.note for case in cases if case.verdict.state == OURS]
        taken = [edit for note in ours for edit in note.edits]
        renamed = [self._renamed(splice) for splice in references(self._texts, self._registry, taken=taken)]
        unsure = [
            replace(case.note, kind=UNSURE, reason=case.verdict.reason)
            for case in cases
            if case.verdict.state == UNSURE
        ]
        if not self._registry.http:
            others = [case.note for case in cases if case.verdict.state == OTHER]
            unsure += self._left([*ours, *renamed], known=[*unsure, *others])
        without = self._without_credentials()
        added = without if self._wanted.secret else []
        return ObjectPlan(
            done=(*ours, *renamed, *added),
            unsure=tuple(unsure),
            without_credentials=() if added else tuple(without),
        )

    def _without_credentials(self) -> list[Note]:
        tree, secret = self._reading.object.tree, self._wanted.secret
        steps = steps_without_credentials(self._reading, self._units, self._registry)
        return [
            Note(
                kind=CREDENTIALS,
                path=step.path,
                span=(0, 0),
                text=str(step.node.get("name", "")),
                edits=tuple(projection(step, self._units, tree=tree, secret=secret)) if secret else (),
            )
            for step in steps
        ]

    def _flag(self, unit: Unit, flag: Flag) -> None:
        if flag.switch:
            for value in self._switched(unit, flag):
                self._vote(unit, flag, value, edits=(self._replaced(value, flag.secure),), text=flag.name)
        elif not self._registry.http:
            first = flag.words[0]
            if flag.within:
                edits: tuple[Edit, ...] = (Splice(path=first.path, start=first.start, end=first.end, new=""),)
            else:
                edits = tuple(self._dropped(flag.words))
            self._vote(unit, flag, first, edits=edits, text=flag.name)

    def _additions(self, unit: Unit) -> Iterator[Addition]:
        for command in unit.commands:
            present = flags(command.words, tool=command.tool)
            if not any(self._verdict(unit, flag).state == OURS for flag in present):
                yield from additions(command.words, tool=command.tool)
        for word in _list_words(unit):
            addition = list_addition(word)
            if addition:
                yield addition

    def _addition(self, unit: Unit, addition: Addition) -> None:
        word = addition.word
        texts = tuple(text.format(host=self._registry.name) for text in addition.texts)
        if addition.within:
            at = word.spans[-1][1]
            edit: Edit = Splice(path=word.path, start=at, end=at, new="".join(texts))
        elif word.item:
            edit = Insert(path=word.path, values=texts)
        else:
            edit = Splice(path=word.path, start=word.end, end=word.end, new="".join(f" {text}" for text in texts))
        self._vote(unit, addition, word, edits=(edit,), text=" ".join(texts).strip(","))

    def _vote(self, unit: Unit, about: Flag | Addition, place: Word, *, edits: tuple[Edit, ...], text: str) -> None:
        if not place.path:
            return
        kind = HTTP_FLAG if self._registry.http else FLAG
        note = Note(kind=kind, path=place.path, span=(place.start, place.end), text=text, edits=edits)
        case = self._cases.setdefault((place.path, place.start, place.end), _Case(note=note))
        case.verdicts.append(self._verdict(unit, about))

    def _verdict(self, unit: Unit, about: Flag | Addition) -> Verdict:
        return unit.context.verdict(self._registry, images=about.images, hosts=about.hosts, assume=self._wanted.assume)

    def _switched(self, unit: Unit, flag: Flag) -> Iterator[Word]:
        """The words that have to be switched to what is wanted: values of a variable, a parameter's default."""
        wanted = _opposite(flag.secure) if self._registry.http else flag.secure
        unwanted = (TRUE if wanted in FALSE else FALSE) - {""}
        word = t.cast("Word", flag.switch)
        yield from (each for each in unit.context.sources(word) if each.text in unwanted)

    def _replaced(self, value: Word, secure: str) -> Splice:
        new = _opposite(secure) if self._registry.http else secure
        return Splice(path=value.path, start=value.spans[0][0], end=value.spans[-1][1], new=new)

    def _dropped(self, words: Sequence[Word]) -> Iterator[Edit]:
        for word in words:
            if word.item:
                yield Drop(path=word.path)
            elif word.path:
                start, end = _with_blanks(self._texts.texts[word.path], word.start, word.end)
                yield Splice(path=word.path, start=start, end=end, new="")

    def _renamed(self, splice: Splice) -> Note:
        old = self._texts.texts[splice.path][splice.start : splice.end]
        return Note(kind=REFERENCE, path=splice.path, span=(splice.start, splice.end), text=old, edits=(splice,))

    def _left(self, done: Sequence[Note], *, known: Sequence[Note]) -> Iterator[Note]:
        """What no rule has come upon: traces of flags, and other mentions of an old name."""
        edits = [edit for note in done for edit in note.edits]
        told = [Splice(path=note.path, start=note.span[0], end=note.span[1], new="") for note in known]
        for path, span in _traces(self._texts):
            if not is_taken(path, span, [*edits, *told]):
                reason = self._texts.unreadable.get(path, "what it is for cannot be told here")
                yield _unsure(self._texts, path, span, reason)
        for path, span, reason in mentions(self._texts, self._registry, taken=[*edits, *told]):
            yield _unsure(self._texts, path, span, reason)


def unique(edits: Iterable[Edit]) -> list[Edit]:
    """Edits without those that are the same as one before."""
    found: list[Edit] = []
    for edit in edits:
        if edit not in found:
            found.append(edit)
    return found


def _flags_of(unit: Unit) -> Iterator[Flag]:
    yield from unit.flags
    for command in unit.commands:
        yield from flags(command.words, tool=command.tool)
    for word in _list_words(unit):
        yield from list_flags(word)


def _list_words(unit: Unit) -> Iterator[Word]:
    """The words in which a comma list may stand, also within a text that is a command of its own."""
    for word in unit.words:
        yield from word.split()


def _traces(texts: Texts) -> Iterator[tuple[Path, tuple[int, int]]]:
    for path, text in texts.texts.items():
        of_kaniko = _TRACES_OF_KANIKO.finditer(text) if "kaniko" in text else ()
        for found in (*_TRACES.finditer(text), *of_kaniko):
            if not texts.is_comment(path, found.start()):
                yield path, found.span()


def _unsure(texts: Texts, path: Path, span: tuple[int, int], reason: str) -> Note:
    return Note(kind=UNSURE, path=path, span=span, text=texts.texts[path][slice(*span)], reason=reason)


def _opposite(value: str) -> str:
    return "false" if value == "true" else "true"


def _with_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """The place of a word with the blanks before it, those of continued lines too, or else with those behind it."""
    before = re.search(r"(?:[ \t\n]|\\\n)*\Z", text[:start])
    first = before.start() if before else start
    gap = text[first:start]
    is_last_of_its_line = re.match(r"[ \t]*(?:\n|$)", text[end:]) is not None
    if gap and (is_last_of_its_line or "\n" not in gap.replace("\\\n", "")):
        return first, end
    if not gap and text[:start] and text[start - 1] not in "\"'(":
        return start, end  # what an assignment gives
    behind = re.match(r"(?:[ \t\n]|\\\n)*", text[end:])
    return start, end + (len(behind[0]) if behind else 0)
