# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the commands that an object of Tekton runs: of scripts, of ``command`` and ``args``, of parameters for them.

What a Pipeline gives to a builder's Task is read as a command of that builder: ``EXTRA_ARGS`` of kaniko with the
``IMAGE`` beside it as its destination.
"""

from __future__ import annotations

import itertools
import re
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.splithorizon.registry.plugins.module_utils._builder_flags import builder_of, tool_of
from ansible_collections.splithorizon.registry.plugins.module_utils._builder_lists import Flag
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._shell_script import parse_script
from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import (
    SHELLS,
    Script,
    Word,
    basename,
    plain_word,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_values import Context

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_objects import (
        Call,
        Given,
        Reading,
        Step,
    )
    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path

__all__ = ["Command", "Unit", "units"]

# Parameters of the catalog's Tasks: their secure value, and the parameters with the images that they are for.
_IMAGE = r"(?:image|image[-_]?(?:url|name|ref)|destination|dest)"
_SWITCHES = {
    "TLSVERIFY": ("true", _IMAGE),
    "TLS_VERIFY": ("true", _IMAGE),
    "srcTLSverify": ("true", r"(?:srcImageURL|source)"),
    "destTLSverify": ("true", r"(?:destImageURL|destination)"),
    "INSECUREREGISTRY": ("false", _IMAGE),
}
_DESTINATIONS = {"kaniko": ("--destination=",), "containers": ("push", "docker://"), "jib": ("-Djib.to.image=",)}
_SHELL_OPTION = re.compile(r"-[a-z]*c")


@dataclass(frozen=True, kw_only=True)
class Command:
    """The words of a command; ``tool``: the builder that runs where the first of them is none."""

    words: tuple[Word, ...]
    tool: str | None = None


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What is read together. ``words``: all in which a comma list may stand. ``flags``: those known by their names.

    ``unreadable``: the path of a script, and why it cannot be read.
    """

    context: Context
    step: Step | None = None
    commands: tuple[Command, ...] = ()
    words: tuple[Word, ...] = ()
    flags: tuple[Flag, ...] = ()
    unreadable: tuple[Path, str] | None = None

    @property
    def script(self) -> Script | None:
        return self.context.script


def units(reading: Reading) -> Iterator[Unit]:
    """All of an object."""
    for step in reading.steps:
        yield from (replace(unit, step=step) for unit in _of_step(step))
    for call in reading.calls:
        if call.params:
            yield _of_call(call)
    for scope in reading.scopes:
        context = Context(scope=scope, environment={})
        yield Unit(context=context, words=tuple(word for given in scope.own.values() for word in _words(given)))


def _of_step(step: Step) -> Iterator[Unit]:
    context = Context(scope=step.scope, environment=step.environment)
    own = [given for given in step.environment.values() if given.path[: len(step.path)] == step.path]
    yield Unit(context=context, words=tuple(word for given in own for word in _words(given)))
    source = step.node.get("script")
    of_script = None
    if isinstance(source, str):
        of_script = _of_script(source, (*step.path, "script"), context)
        yield of_script
    words = [*_items(step, "command", context), *_items(step, "args", context)]
    inline = _inline_script(words)
    if inline:
        text = t.cast("str", _text_at(step, inline))
        yield _of_script(text, inline.path, context)
    elif of_script:
        # The arguments of a script are those of the builder that it gives them to ("$@").
        builders = [command.words for command in of_script.commands if builder_of(command.words)]
        yield replace(
            of_script, commands=tuple(Command(words=(*each, *words)) for each in builders), words=tuple(words)
        )
    elif words:
        command = Command(words=tuple(words), tool=_tool_of_image(step, context))
        yield Unit(context=context, commands=(command,), words=tuple(words))


def _of_script(text: str, path: Path, context: Context) -> Unit:
    try:
        script = parse_script(text, path=path)
    except Conflict as error:
        return Unit(context=context, unreadable=(path, f"{error.problem} ({error.where})"))
    return Unit(
        context=replace(context, script=script),
        commands=tuple(Command(words=words) for words in script.invocations),
        words=tuple(script.words),
    )


def _items(step: Step, key: str, context: Context) -> Iterator[Word]:
    """The words of ``command`` or ``args``; those of a parameter that is a list in its place."""
    values = step.node.get(key)
    for index, value in enumerate(values if isinstance(values, list) else []):
        if not isinstance(value, str):
            continue
        word = plain_word(value, path=(*step.path, key, index), item=True)
        default = context.scope.own.get(word.parameter or "")
        if default is not None and isinstance(default.value, list):
            yield from _words(default)
        else:
            yield word


def _inline_script(words: list[Word]) -> Word | None:
    """The word that a shell is given to run (``sh -c``)."""
    if not words or basename(words[0]) not in SHELLS:
        return None
    for option, word in itertools.pairwise(words[1:]):
        if _SHELL_OPTION.fullmatch(option.text):
            return word
    return None


def _text_at(step: Step, word: Word) -> t.Any:
    key, index = word.path[-2:]
    return step.node[str(key)][index]


def _tool_of_image(step: Step, context: Context) -> str | None:
    image = step.node.get("image")
    names = context.values(plain_word(image)) if isinstance(image, str) else set()
    tools = {tool_of(name) for name in names}
    return tools.pop() if len(tools) == 1 else None


def _of_call(call: Call) -> Unit:
    scope = next(iter(call.params.values())).scope
    tool = tool_of(call.target[1])
    words = [word for given in call.params.values() for word in _words(given)]
    named = [word for name, given in call.params.items() if re.fullmatch(_IMAGE, name, re.I) for word in _words(given)]
    *before, prefix = _DESTINATIONS.get(tool or "", ("",))
    destinations = [plain_word(prefix + word.shown) for word in named] if tool else []
    command = Command(words=(*map(plain_word, before), *words, *destinations), tool=tool)
    return Unit(
        context=Context(scope=scope, environment={}),
        commands=(command,) if tool else (),
        words=tuple(words),
        flags=tuple(_switches(call)),
    )


def _switches(call: Call) -> Iterator[Flag]:
    for name, (secure, pattern) in _SWITCHES.items():
        if name in call.params:
            images = [given for key, given in call.params.items() if re.fullmatch(pattern, key, re.I)]
            for word in _words(call.params[name]):
                named = tuple(each for given in images for each in _words(given))
                yield Flag(name=f"{name}: {word.shown}", words=(), images=named, switch=word, secure=secure)


def _words(given: Given) -> Iterator[Word]:
    """The words of a parameter's value: each item of a list, or a text split at its blanks."""
    if isinstance(given.value, list):
        for index, value in enumerate(given.value):
            if isinstance(value, str):
                yield plain_word(value, path=(*given.path, index), item=True)
    elif isinstance(given.value, str):
        yield from plain_word(given.value, path=given.path).split()
