# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what a word of a step may be once its variables are filled in, and for which registry a thing is."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import UNKNOWN, host_of_image
from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import (
    parameter_name,
    plain_word,
    resolved_variables,
    variable_name,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import Registry
    from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import Script, Word
    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_objects import Given, Scope

__all__ = ["OTHER", "OURS", "UNSURE", "Context", "Verdict"]

OURS, OTHER, UNSURE = "ours", "other", "unsure"
_MAX_VALUES = 16
_MAX_DEPTH = 8


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether something is for our registry; ``reason``: why that is not sure."""

    state: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where a word stands: in ``scope`` of Tekton's parameters, in a step's environment, in a script."""

    scope: Scope
    environment: Mapping[str, Given]
    script: Script | None = None
    seen: frozenset[str] = frozenset()

    def values(self, word: Word) -> set[str]:
        """What a word may be; UNKNOWN stands in it for what no text tells."""
        parts = [sorted(self._expansion(word.holes[char])) if char in word.holes else [char] for char in word.text]
        count = 1
        for part in parts:
            count *= len(part)
        return {"".join(each) for each in itertools.product(*parts)} if count <= _MAX_VALUES else {UNKNOWN}

    def verdict(
        self, registry: Registry, *, images: Iterable[Word], hosts: Iterable[Word] = (), assume: bool = False
    ) -> Verdict:
        """For which registry the images are. ``assume``: what is not known is for ours."""
        images, hosts = list(images), list(hosts)
        found = {host for word in hosts for host in self.values(word)}
        found |= {host_of_image(image) for word in images for image in self.values(word)}
        known = {host for host in found if UNKNOWN not in host}
        ours = {host for host in known if registry.owns(host)}
        if known and ours == known and (assume or known == found):
            return Verdict(state=OURS)
        if known and not ours and known == found:
            return Verdict(state=OTHER)
        if not known and assume:
            return Verdict(state=OURS)
        if len(known) > len(ours) and ours:
            return Verdict(state=UNSURE, reason=f"it is for {' and for '.join(sorted(known))}")
        shown = ", ".join(dict.fromkeys(word.shown for word in (*images, *hosts)))
        reason = f"its registry is known at a run only: {shown}" if shown else "nothing here names its registry"
        return Verdict(state=UNSURE, reason=reason)

    def sources(self, word: Word) -> Iterator[Word]:
        """The words that give a variable or parameter its value, or the word itself where it is neither."""
        if word.parameter:
            default = self.scope.own.get(word.parameter)
            yield from _whole(default)
        elif word.variable:
            found = resolved_variables(self.script, word.variable)
            given = self.environment.get(word.variable)
            for each in found if found is not None else _whole(given):
                yield from self.sources(each) if each.parameter else (each,)
        else:
            yield word

    def _expansion(self, expansion: str) -> set[str]:
        if expansion in self.seen or len(self.seen) > _MAX_DEPTH:
            return {UNKNOWN}
        seen = self.seen | {expansion}
        name = parameter_name(expansion)
        if name is not None:
            return self._of_given(self.scope.values(name), seen)
        name = variable_name(expansion)
        if name is None:
            return {UNKNOWN}
        words = resolved_variables(self.script, name)
        if words is not None:
            context = replace(self, seen=seen)
            return {value for word in words for value in context.values(word)} - {""} or {UNKNOWN}
        is_known = name in self.environment and not (self.script and name in self.script.unknown)
        return self._of_given([self.environment[name]], seen) if is_known else {UNKNOWN}

    def _of_given(self, found: Iterable[Given], seen: frozenset[str]) -> set[str]:
        values: set[str] = set()
        for given in found:
            context = Context(scope=given.scope, environment={}, seen=seen)
            is_text = isinstance(given.value, str)
            values |= context.values(plain_word(given.value)) if is_text else {UNKNOWN}
        return values - {""} or {UNKNOWN}


def _whole(given: Given | None) -> Iterator[Word]:
    if given is not None and isinstance(given.value, str) and given.value:
        yield plain_word(given.value, path=given.path)
