"""`softprompt prompts`: a folder of prompts, its versions, aliases and tags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.prompt_list import show_prompts, show_versions
from softprompt.cli.streams import waiting
from softprompt.errors import UsageError, nearest
from softprompt.locale import _, mark

if TYPE_CHECKING:
    from softprompt.serving.registry import Registry

__all__ = ["prompts"]


@dataclass(frozen=True)
class _Given:
    """What stands on the command line beside the action.

    Args:
        registry: of the folder.
        words: names and what follows them.
        names: of aliases, tags and the prompt, as flags give them.
        sort: what a list is sorted by.
        current: whether what is added becomes current.
    """

    registry: Registry
    words: tuple[str, ...]
    name: str | None
    aliases: tuple[str, ...]
    tags: dict[str, str]
    sort: str
    current: bool


Told = tuple[dict[str, Any], Callable[[Console], None]]
"""The JSON value, and what prints the same for people."""


Action = Annotated[
    str,
    typer.Argument(
        metavar="list|add|alias|tag|rollback|remove",
        help=mark("What to do."),
        show_default=False,
    ),
]
Folder = Annotated[
    str, typer.Argument(metavar="FOLDER", help=mark("Folder of prompts."), show_default=False)
]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WORDS]...",
        show_default=False,
        help=mark(
            "list: a name, for its versions. add: an artifact or run. alias: NAME@VERSION and "
            "the alias. tag: a name and tags. rollback: NAME or NAME@VERSION. remove: NAME, "
            "NAME@VERSION or NAME@ALIAS."
        ),
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help=mark("Name of what is added."))
]
Alias = Annotated[
    list[str] | None,
    typer.Option("--alias", metavar="ALIAS", help=mark("Alias of what is added; repeatable.")),
]
Tag = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="TAG[=VALUE]",
        help=mark("Tag of what is added, or that what is listed must have; repeatable."),
    ),
]
Sort = Annotated[
    str,
    typer.Option(
        "--sort",
        metavar="BY",
        help=mark("`name`, `created` (newest first) or a metric as `test.accuracy`."),
    ),
]
KeepCurrent = Annotated[
    bool, typer.Option("--keep-current", help=mark("What is added does not become current."))
]
IndexAddress = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="URL",
        help=mark("Database of the index (`postgresql://...`); a file in the folder else."),
    ),
]


@command(
    "prompts",
    summary=mark("List, add and remove the prompts of a folder, and say which version serves."),
    examples=(
        "softprompt prompts list prompts",
        "softprompt prompts list prompts reviews",
        "softprompt prompts add prompts runs/reviews --name reviews --tag language=vi",
        "softprompt prompts alias prompts reviews@2 production",
        "softprompt prompts rollback prompts reviews",
        "softprompt prompts remove prompts reviews@1",
    ),
)
def prompts(
    action: Action,
    folder: Folder,
    words: Words = None,
    name: Name = None,
    alias: Alias = None,
    tag: Tag = None,
    sort: Sort = "name",
    keep_current: KeepCurrent = False,
    index: IndexAddress = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    if action not in _ACTIONS:
        text = _("Unknown action {name!r}.").format(name=action)
        raise UsageError(text, nearest(action, _ACTIONS))
    if action != "add" and not Path(folder).is_dir():
        raise UsageError(
            _("There is no folder {folder}.").format(folder=folder),
            _("Name the folder of the prompts; `add` makes a new one."),
        )
    with waiting(_("Loading ...")):
        from softprompt.serving.registry import Registry
        from softprompt.serving.registry.names import parse_tag

        tags = dict(map(parse_tag, tag or ()))
        with Registry(folder, index_url=index) as registry:
            given = _Given(
                registry,
                tuple(words or ()),
                name,
                tuple(alias or ()),
                tags,
                sort,
                not keep_current,
            )
            value, show = _ACTIONS[action](given)
    return Outcome({"folder": folder, **value}, show, json)


def _list(given: _Given) -> Told:
    if given.words:
        (asked,) = _words(given, _("one name"), 1)
        versions = given.registry.history(asked)
        value = {"versions": [card.as_json() for card in versions]}
        return value, partial(show_versions, cards=versions)
    # A tag without a value asks for any.
    tags = {tag: text or None for tag, text in given.tags.items()}
    cards = given.registry.list(tags=tags, sort=given.sort)
    folder = str(given.registry.folder)
    return (
        {"prompts": [card.as_json() for card in cards]},
        partial(show_prompts, cards=cards, folder=folder),
    )


def _add(given: _Given) -> Told:
    from softprompt.serving.registry.hub import artifacts_at

    (path,) = _words(given, _("the folder of an artifact or a run"), 1)
    found = artifacts_at(Path(path))
    if list(found) != [""]:
        raise UsageError(
            _("{path} is a folder of prompts.").format(path=path),
            _("Name one of them, as {path}/NAME.").format(path=path),
        )
    name = given.name or _name_of(Path(path))
    version = given.registry.publish(
        name, found[""], current=given.current, aliases=given.aliases, tags=given.tags
    )
    value = {"added": version.label, "name": version.name, "version": version.number}
    return {**value, "key": version.key}, _saying(
        _("{version} is published.").format(version=version.label)
    )


def _alias(given: _Given) -> Told:
    reference, alias = _words(given, _("NAME@VERSION and an alias"), 2)
    version = given.registry.alias(reference, alias)
    label = f"{version.name}@{alias}"
    value = {"alias": label, "version": version.label}
    return value, _saying(
        _("{alias} means {version} now.").format(alias=label, version=version.label)
    )


def _tag(given: _Given) -> Told:
    from softprompt.serving.registry.names import parse_tag

    name, *tags = _words(given, _("a name and tags"), None)
    removed = {tag.removesuffix("-"): None for tag in tags if tag.endswith("-")}
    kept = [parse_tag(tag) for tag in tags if not tag.endswith("-")]
    given.registry.tag(name, {**given.tags, **dict(kept), **removed})
    card = given.registry.history(name)[0]
    shown = ", ".join(f"{tag}={text}" if text else tag for tag, text in card.tags.items())
    return {"name": card.name, "tags": dict(card.tags)}, _saying(
        _("Tags of {name}: {tags}").format(name=card.name, tags=shown or "–")
    )


def _rollback(given: _Given) -> Told:
    (reference,) = _words(given, _("NAME or NAME@VERSION"), 1)
    name, _at, wanted = reference.partition("@")
    number = int(wanted) if wanted.isascii() and wanted.isdecimal() else None
    if wanted and number is None:
        number = given.registry.resolve(reference).number
    # With nothing after its @ a version was meant, and the registry says so.
    version = given.registry.rollback(name if wanted else reference, number)
    return {"name": version.name, "current": version.number}, _saying(
        _("{version} is current now.").format(version=version.label)
    )


def _remove(given: _Given) -> Told:
    (reference,) = _words(given, _("NAME, NAME@VERSION or NAME@ALIAS"), 1)
    name, _at, wanted = reference.partition("@")
    if wanted and not (wanted.isascii() and wanted.isdecimal()):
        given.registry.unalias(name, wanted)
    else:
        # With nothing after its @ a version was meant, and must not take all of them along.
        given.registry.remove(name if wanted else reference, int(wanted) if wanted else None)
    return {"removed": reference}, _saying(_("{name} is removed.").format(name=reference))


_ACTIONS: dict[str, Callable[[_Given], Told]] = {
    "list": _list,
    "add": _add,
    "alias": _alias,
    "tag": _tag,
    "rollback": _rollback,
    "remove": _remove,
}


def _words(given: _Given, what: str, count: int | None) -> tuple[str, ...]:
    """The words after the folder, as many as an action takes; None for one or more.

    Raises:
        UsageError: there are others.
    """
    found = given.words
    if len(found) != count if count is not None else not found:
        raise UsageError(
            _("After the folder comes {what}, and there are {n} words.").format(
                what=what, n=len(found)
            ),
            _("See `{command} --help`.").format(command="softprompt prompts"),
        )
    return found


def _name_of(path: Path) -> str:
    """What an artifact is called when nobody says so: its folder, or that of its run."""
    place = path.resolve()
    return place.parent.name if place.name == "prompt" else place.name.partition("@")[0]


def _saying(text: str) -> Callable[[Console], None]:
    def show(console: Console) -> None:
        console.print(text, soft_wrap=True)

    return show
