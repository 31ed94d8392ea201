"""`softprompt push`: prompts to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.streams import waiting
from softprompt.locale import _, mark

__all__ = ["push"]


@command(
    "push",
    summary=mark("Send a prompt, or a folder of prompts, to the Hugging Face Hub."),
    examples=(
        "softprompt push runs/reviews me/reviews",
        "softprompt push prompts/reviews@production me/reviews --revision stable",
    ),
)
def push(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help=mark("Artifact, run, folder of prompts, or FOLDER/NAME@VERSION in one."),
        ),
    ],
    repository: Annotated[
        str,
        typer.Argument(metavar="REPOSITORY", show_default=False, help=mark("OWNER/NAME.")),
    ],
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="BRANCH", help=mark("Branch; made if it is new.")),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help=mark("A new repository is seen by everybody."))
    ] = False,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    with waiting(_("Sending ...")):
        from softprompt.serving.registry.hub import artifacts_at
        from softprompt.serving.registry.hub import push as send

        artifacts = artifacts_at(Path(path))
        done = send(artifacts, repository, revision=revision, private=not public)

    def show(console: Console) -> None:
        for name in done.prompts:
            console.print(name or Path(path).name, soft_wrap=True)
        console.print(_("Sent to {url}.").format(url=done.url), soft_wrap=True)

    value = {"repository": repository, "url": done.url, "commit": done.commit}
    return Outcome({**value, "prompts": list(done.prompts)}, show, json)
