"""`softprompt keys`: API keys of a server, made, listed and revoked."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.tables import table
from softprompt.errors import UsageError, nearest
from softprompt.locale import _, mark, number

if TYPE_CHECKING:
    from softprompt.serving.keys import Key, Keys

__all__ = ["keys"]

_ACTIONS = ("add", "list", "revoke")

Action = Annotated[
    str, typer.Argument(metavar="add|list|revoke", help=mark("What to do."), show_default=False)
]
Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        show_default=False,
        help=mark("Whose key it is; to revoke, the ID that `list` shows."),
    ),
]
File = Annotated[str, typer.Option("--keys", metavar="FILE", help=mark("File of the keys."))]
Scopes = Annotated[
    str, typer.Option("--scopes", metavar="S,...", help=mark("`infer`, `tune`, `admin`."))
]
Prompts = Annotated[
    str | None,
    typer.Option(
        "--prompts",
        metavar="P,...",
        help=mark("Prompts it may ask, `*` for any part of a name; all if not given."),
    ),
]
PerMinute = Annotated[
    float | None, typer.Option("--per-minute", metavar="N", help=mark("Answers a minute."))
]
Burst = Annotated[int | None, typer.Option("--burst", metavar="N", help=mark("Answers at once."))]


@command(
    "keys",
    summary=mark("Make, list or revoke the API keys of a server."),
    examples=(
        "softprompt keys add studio",
        "softprompt keys add team --prompts 'reviews,team-*' --per-minute 60",
        "softprompt keys add operator --scopes infer,admin",
        "softprompt keys revoke 0f12ab34cd56",
    ),
)
def keys(
    action: Action,
    name: Name = None,
    *,
    file: File = "keys.json",
    scopes: Scopes = "infer",
    prompts: Prompts = None,
    per_minute: PerMinute = None,
    burst: Burst = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    from softprompt.serving.audit import Audit
    from softprompt.serving.keys import Keys

    if action not in _ACTIONS:
        text = _("Unknown action {name!r}.").format(name=action)
        raise UsageError(text, nearest(action, _ACTIONS))
    if (action == "list") != (name is None):
        raise UsageError(
            _("`add` needs a name, `revoke` an ID, and `list` neither."),
            _("For example: softprompt keys add studio"),
        )
    kept, audit = Keys(file), Audit(Path(file).with_name("audit.jsonl"))
    if name is None:
        return _listed(kept, json)
    by = f"user {_user()}"
    if action == "revoke":
        with audit.action("revoke key", by=by, key=name):
            revoked = kept.revoke(name)
        return Outcome({"revoked": _shown(revoked)}, _say(_("Revoked: {id}"), id=name), json)
    settings: dict[str, Any] = {
        "scopes": _parts(scopes),
        "prompts": None if prompts is None else _parts(prompts),
        "per_minute": per_minute,
        "burst": burst,
    }
    with audit.action("add key", by=by, name=name, **settings) as found:
        key, text = kept.add(name, **settings)
        found["key"] = key.id

    def show(console: Console) -> None:
        console.print(text, soft_wrap=True)
        console.print(
            _("This is the only time that the key is shown; {file} keeps its digest.").format(
                file=file
            ),
            style="dim",
        )

    return Outcome({"key": text, **_shown(key)}, show, json)


def _listed(kept: Keys, json: bool) -> Outcome:
    found = kept.all()

    def show(console: Console) -> None:
        if not found:
            console.print(_("There is no key yet. Make one: softprompt keys add NAME"))
            return
        rows = table(
            "ID", _("name"), _("scopes"), _("prompts"), _("a minute"), _("made"), _("ended")
        )
        for key in found:
            prompts = _("all") if key.prompts is None else ", ".join(key.prompts)
            rate = "–" if key.per_minute is None else number(key.per_minute)
            ended = (key.revoked or "–")[:10]
            rows.add_row(
                key.id, key.name, ", ".join(key.scopes), prompts, rate, key.created[:10], ended
            )
        console.print(rows)

    return Outcome({"keys": [_shown(key) for key in found]}, show, json)


def _shown(key: Key) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"digest"})


def _say(text: str, **values: str) -> Any:
    return lambda console: console.print(text.format(**values), soft_wrap=True)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "?"
