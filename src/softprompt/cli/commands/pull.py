"""`softprompt pull`: prompts from the Hugging Face Hub into a folder of prompts."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.streams import waiting
from softprompt.locale import _, mark

__all__ = ["pull"]


@command(
    "pull",
    summary=mark("Fetch prompts from the Hugging Face Hub into a folder of prompts."),
    examples=(
        "softprompt pull me/reviews prompts",
        "softprompt pull me/reviews prompts --revision stable --name reviews",
    ),
)
def pull(
    repository: Annotated[
        str,
        typer.Argument(metavar="REPOSITORY", show_default=False, help=mark("OWNER/NAME.")),
    ],
    folder: Annotated[
        str,
        typer.Argument(metavar="FOLDER", show_default=False, help=mark("Folder of prompts.")),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help=mark("Name of the prompt; the repository's else.")
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="REVISION", help=mark("Branch, tag or commit.")),
    ] = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    with waiting(_("Fetching ...")):
        from softprompt.serving.registry import Registry
        from softprompt.serving.registry.hub import pull as fetch

        with Registry(folder) as registry:
            done = fetch(repository, registry, name=name, revision=revision)

    def show(console: Console) -> None:
        for version, new in done:
            told = _("{version} is published.") if new else _("{version} is current already.")
            console.print(told.format(version=version.label), soft_wrap=True)

    prompts = [
        {"name": version.name, "version": version.number, "key": version.key, "new": new}
        for version, new in done
    ]
    return Outcome({"repository": repository, "folder": folder, "prompts": prompts}, show, json)
