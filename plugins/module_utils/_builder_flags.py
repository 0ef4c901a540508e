# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: flags by which kaniko, buildah, podman, skopeo and jib give up HTTPS or its verification, in a command's words.

They are for the images that the same command names: kaniko's destination and cache, the image that buildah sends or,
while it builds, its tag, each side of a copy, jib's target. BuildKit's stand in comma lists (``_builder_lists``).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._builder_lists import FALSE, TRUE, Addition, Flag
from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import basename

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import Word

    Words = Sequence[Word]

__all__ = ["CONTAINERS", "additions", "builder_of", "flags", "pushed_images", "tool_of"]

BUILDKIT: t.Final = "buildkit"
KANIKO: t.Final = "kaniko"
CONTAINERS: t.Final = "containers"  # buildah, podman and skopeo share their library's options
JIB: t.Final = "jib"

_PROGRAMS = {
    "buildctl": BUILDKIT,
    "buildctl-daemonless.sh": BUILDKIT,
    "executor": KANIKO,
    "buildah": CONTAINERS,
    "podman": CONTAINERS,
    "skopeo": CONTAINERS,
    "mvn": JIB,
    "mvnw": JIB,
    "gradle": JIB,
    "gradlew": JIB,
}
# Parts of the names of images and Tasks that tell their builder.
_NAMES = {
    "buildkit": BUILDKIT,
    "kaniko": KANIKO,
    "buildah": CONTAINERS,
    "podman": CONTAINERS,
    "skopeo": CONTAINERS,
    "jib": JIB,
    "maven": JIB,
    "gradle": JIB,
}

_KANIKO_FLAG = re.compile(r"--(?:insecure|skip-tls-verify)(?:-pull)?(?:=(?P<value>.*))?", re.DOTALL)
_KANIKO_REGISTRY = re.compile(r"--(?:insecure|skip-tls-verify)-registry(?:=(?P<value>.*))?", re.DOTALL)
_KANIKO_IMAGE = re.compile(r"(?:-d|--(?:destination|cache-repo))(?:=(?P<value>.*))?", re.DOTALL)
_TLS_FLAG = re.compile(r"--(?P<side>src-|dest-)?tls-verify=(?P<value>.*)", re.DOTALL)
_TAG = re.compile(r"(?:-t|--tag)(?:=(?P<value>.*))?", re.DOTALL)
_JIB_FLAG = re.compile(r"-D(?:jib\.)?(?:allowInsecureRegistries|sendCredentialsOverHttp)(?:=(?P<value>.*))?", re.DOTALL)
_JIB_IMAGE = re.compile(r"(?:-D(?:jib\.to\.)?image|--image)=(?P<value>.*)", re.DOTALL)
_JIB_HTTP = ("-Djib.allowInsecureRegistries=true", "-Djib.sendCredentialsOverHttp=true")
# Of buildah, podman and skopeo, where the value may stand in the next word.
_OPTIONS_WITH_VALUE = frozenset(
    {
        "--authfile",
        "--build-arg",
        "--cert-dir",
        "--creds",
        "--dest-creds",
        "--digestfile",
        "--file",
        "--format",
        "--iidfile",
        "--label",
        "--password",
        "--platform",
        "--root",
        "--runroot",
        "--src-creds",
        "--storage-driver",
        "--tag",
        "--username",
        "-f",
        "-p",
        "-t",
        "-u",
    }
)

# The sides of a copy, by what their options start with.
_SIDES = ("src-", "dest-")
_BUILDS = frozenset({"bud", "build"})
_COMMANDS = _BUILDS | {"copy", "push", "pull", "inspect", "login"}


def tool_of(name: str) -> str | None:
    """The builder that the name of an image or of a Task tells."""
    return next((tool for part, tool in _NAMES.items() if part in name.lower()), None)


def builder_of(argv: Words) -> str | None:
    """The builder that a command runs."""
    return _PROGRAMS.get(basename(argv[0])) if argv else None


def flags(argv: Words, *, tool: str | None = None) -> Iterator[Flag]:
    """The flags of one command; ``tool``: what runs where its first word is no builder."""
    named = builder_of(argv)
    find = _FLAGS.get(named or tool or "")
    if find:
        yield from find(argv[1:] if named else argv)


def additions(argv: Words, *, tool: str | None = None) -> Iterator[Addition]:
    """What makes one command speak HTTP with its registry."""
    named = builder_of(argv)
    find = _ADDITIONS.get(named or tool or "")
    if find:
        yield from find(argv[1:] if named else argv)


def pushed_images(argv: Words, *, tool: str | None = None) -> tuple[Word, ...]:
    """What a command of kaniko, buildah, podman or skopeo sends."""
    tool = builder_of(argv) or tool
    if tool == KANIKO:
        return tuple(image for _word, image in _values(argv, _KANIKO_IMAGE))
    command = _command(argv) if tool == CONTAINERS else None
    sends = command is not None and command.text in {"push", "copy"}
    return _transferred(argv, "dest-").get("images", ()) if sends else ()


def _kaniko_flags(words: Words) -> Iterator[Flag]:
    images = tuple(image for _word, image in _values(words, _KANIKO_IMAGE))
    for word in words:
        found = _KANIKO_FLAG.fullmatch(word.text)
        if found and (found["value"] is None or found["value"] in TRUE):
            yield Flag(name=word.text, words=(word,), images=images)
    for word, host in _values(words, _KANIKO_REGISTRY):
        whole = (word,) if host.start < word.end and host.path == word.path else (word, host)
        yield Flag(name=" ".join(each.shown for each in whole), words=whole, hosts=(host,))


def _kaniko_additions(words: Words) -> Iterator[Addition]:
    for word, image in list(_values(words, _KANIKO_IMAGE))[:1]:
        last = word if image.path == word.path and image.end <= word.end else image
        yield Addition(texts=("--insecure-registry={host}",), word=last, images=(image,))


def _containers_flags(words: Words) -> Iterator[Flag]:
    for word in words:
        found = _TLS_FLAG.fullmatch(word.text)
        if not found or not found["value"]:
            continue
        named: dict[str, t.Any] = _transferred(words, found["side"] or "")
        value = word.part(*found.span("value"))
        if value.text in FALSE:
            yield Flag(name=word.text, words=(word,), **named)
        elif value.parameter or value.variable:
            yield Flag(name=word.shown, words=(word,), switch=value, **named)


def _containers_additions(words: Words) -> Iterator[Addition]:
    command = _command(words)
    if command is None:
        return
    present = {found["side"] or "" for word in words if (found := _TLS_FLAG.fullmatch(word.text))}
    for side in _SIDES if command.text == "copy" else ("",):
        named: dict[str, t.Any] = _transferred(words, side)
        if any(named.values()) and not {side, ""} & present:
            yield Addition(texts=(f"--{side}tls-verify=false",), word=command, **named)


def _transferred(words: Words, side: str) -> dict[str, tuple[Word, ...]]:
    """The images, or a login's host, that a command of buildah, podman or skopeo is about, on one side of a copy."""
    found = _command(words)
    if found is None:
        return {}
    command, rest = found.text, _operands(words[words.index(found) + 1 :])
    if command == "copy":
        pair = rest[-2:] if len(rest) > 1 else [None, *rest]
        chosen = {"src-": pair[:1], "dest-": pair[1:]}.get(side, pair)
        return {"images": tuple(word for word in chosen if word and not _is_local(word))}
    if command == "login":
        return {"hosts": tuple(rest[-1:])}
    if command in _BUILDS:
        return {"images": tuple(image for _word, image in _values(words, _TAG))}
    named = [word for word in rest if word.text.startswith("docker://")]
    # A word that may be an image's name; of another option's value it is not sure then for which registry it is.
    return {"images": tuple(named or [word for word in rest if "/" in word.text or word.holes])}


def _is_local(word: Word) -> bool:
    """Whether an image of a copy is none in a registry (``oci:``, ``dir:``, ``containers-storage:``)."""
    return re.match(r"(?:oci|oci-archive|dir|docker-archive|docker-daemon|containers-storage):", word.text) is not None


def _command(words: Words) -> Word | None:
    """What buildah, podman or skopeo is to do."""
    return next((word for word in words if word.text in _COMMANDS), None)


def _operands(words: Words) -> list[Word]:
    """Words that are no options and, as far as these are known, no values of options."""
    before = [None, *words]
    return [
        word
        for option, word in zip(before, words, strict=False)
        if not word.text.startswith("-") and not (option and option.text in _OPTIONS_WITH_VALUE)
    ]


def _jib_flags(words: Words) -> Iterator[Flag]:
    images = tuple(image for _word, image in _values(words, _JIB_IMAGE))
    for word in words:
        found = _JIB_FLAG.fullmatch(word.text)
        if not found:
            continue
        value = word.part(*found.span("value")) if found["value"] else None
        if value is None or value.text in TRUE:
            yield Flag(name=word.text, words=(word,), images=images)
        elif value.parameter or value.variable:
            yield Flag(name=word.shown, words=(word,), images=images, switch=value, secure="false")


def _jib_additions(words: Words) -> Iterator[Addition]:
    for word, image in list(_values(words, _JIB_IMAGE))[:1]:
        yield Addition(texts=_JIB_HTTP, word=word, images=(image,))


def _values(words: Words, option: re.Pattern[str]) -> Iterator[tuple[Word, Word]]:
    """(word, value) of each time an option is given, its value in the same word or the next."""
    for index, word in enumerate(words):
        found = option.fullmatch(word.text)
        if found and found["value"]:
            yield word, word.part(*found.span("value"))
        elif found and found["value"] is None and index + 1 < len(words):
            yield word, words[index + 1]


_FLAGS: dict[str, Callable[[Words], Iterator[Flag]]] = {
    KANIKO: _kaniko_flags,
    CONTAINERS: _containers_flags,
    JIB: _jib_flags,
}
_ADDITIONS: dict[str, Callable[[Words], Iterator[Addition]]] = {
    KANIKO: _kaniko_additions,
    CONTAINERS: _containers_additions,
    JIB: _jib_additions,
}
