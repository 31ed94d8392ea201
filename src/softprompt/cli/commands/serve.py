"""`softprompt serve`: one model answering over HTTP for every prompt of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.engine_choice import EngineChoice, open_engine
from softprompt.cli.streams import error_console, waiting, warn
from softprompt.cli.tuning_jobs import open_jobs
from softprompt.errors import UsageError, refusal
from softprompt.locale import _, mark, ngettext, number

if TYPE_CHECKING:
    from softprompt.serving.keys import Keys
    from softprompt.serving.registry import Registry

__all__ = ["serve"]

Prompts = Annotated[
    str,
    typer.Argument(
        metavar="PROMPTS",
        show_default=False,
        help=mark("Folder of prompts, one folder for each name; may be empty at first."),
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help=mark("What clients call the model."))
]
Host = Annotated[str, typer.Option("--host", metavar="H", help=mark("Address to listen at."))]
Port = Annotated[int, typer.Option("--port", metavar="N", help=mark("Port; 0 takes a free one."))]
KeyFile = Annotated[
    str | None, typer.Option("--keys", metavar="FILE", help=mark("Keys of `softprompt keys`."))
]
AuditFile = Annotated[
    str | None,
    typer.Option(
        "--audit",
        metavar="FILE",
        help=mark("Log of changes to prompts; audit.jsonl beside keys or prompts if not given."),
    ),
]
Database = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help=mark("Database for the index of prompts.")),
]
MaxWaiting = Annotated[
    int, typer.Option("--max-waiting", metavar="N", help=mark("Requests that may wait."))
]
MaxRows = Annotated[
    int, typer.Option("--max-rows", metavar="N", help=mark("Rows computed side by side."))
]
Deadline = Annotated[
    float, typer.Option("--deadline", metavar="S", help=mark("Seconds for an answer."))
]
Drain = Annotated[
    float,
    typer.Option("--drain", metavar="S", help=mark("Seconds for running requests at the end.")),
]
DrainDelay = Annotated[
    float,
    typer.Option(
        "--drain-delay", metavar="S", help=mark("Seconds of failing /ready before the end.")
    ),
]
Origins = Annotated[
    list[str] | None,
    typer.Option("--origin", metavar="URL", help=mark("Web site whose pages may call.")),
]
LogContents = Annotated[
    bool,
    typer.Option("--log-contents", metavar=" ", help=mark("Write texts and answers to the log.")),
]
JobFolder = Annotated[
    str | None,
    typer.Option("--jobs", metavar="DIR", help=mark("Let clients tune; files and jobs lie here.")),
]
JobTime = Annotated[
    float | None,
    typer.Option("--job-time", metavar="S", help=mark("Seconds that a job may train; six hours.")),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine", metavar="E", help=mark("What computes: own, or vllm for a vLLM server.")
    ),
]
UpstreamUrl = Annotated[
    str | None,
    typer.Option("--upstream", metavar="URL", help=mark("Address of the vLLM server.")),
]
Ray = Annotated[
    bool,
    typer.Option("--ray", metavar=" ", help=mark("Run replicas of the model on Ray Serve.")),
]
ReplicaCount = Annotated[
    int | None,
    typer.Option("--replicas", metavar="N", help=mark("Replicas; two if not given.")),
]


@command(
    "serve",
    summary=mark("Answer over HTTP for every prompt of a folder, with one copy of the model."),
    examples=(
        "softprompt serve prompts/",
        "softprompt serve prompts/ --model nano --port 9000",
        "softprompt serve prompts/ --host 0.0.0.0 --keys keys.json",
        "softprompt serve prompts/ --model nano --engine vllm --upstream http://127.0.0.1:8001",
        "softprompt serve prompts/ --ray --replicas 2",
    ),
)
def serve(
    prompts: Prompts,
    *,
    model: flags.Model = None,
    name: Name = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    keys: KeyFile = None,
    audit: AuditFile = None,
    database: Database = None,
    max_waiting: MaxWaiting = 1024,
    max_rows: MaxRows = 64,
    deadline: Deadline = 60.0,
    drain: Drain = 30.0,
    drain_delay: DrainDelay = 0.0,
    origin: Origins = None,
    log_contents: LogContents = False,
    jobs: JobFolder = None,
    job_time: JobTime = None,
    engine: EngineName = "own",
    upstream: UpstreamUrl = None,
    ray: Ray = False,
    replicas: ReplicaCount = None,
    dtype: flags.Dtype = None,
    device: flags.Device = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    settings: dict[str, Any] = {
        "host": host,
        "port": port,
        "deadline": deadline,
        "max_deadline": max(600.0, deadline),
        "drain_seconds": drain,
        "drain_delay": drain_delay,
        "origins": tuple(origin or ()),
        "log_contents": log_contents,
    }
    with waiting(_("Loading ...")):
        from softprompt.serving.audit import Audit
        from softprompt.serving.http import bind, create_app, run

        config = _config(settings)
        known = _keys(keys)
        # What cannot be is told before a large model is loaded.
        taken = bind(config, with_keys=known is not None)
        which: Any = (model or "nano", prompts, database, dtype or "auto", device or "auto")
        which += (max_waiting, max_rows, engine, upstream, ray, replicas)
        opened = open_engine(EngineChoice(*which))
    called = name or _called(model or "nano")
    log = Audit(audit or Path(keys or prompts).absolute().with_name("audit.jsonl"))
    # What could finish in its time has finished when the engine is closed.
    tuned: Any = {"model": which[0], "called": called, "backbone": which[3:5], "engine": engine}
    with opened as (running, registry), open_jobs(jobs, job_time, registry, log, **tuned) as tuning:
        shared: Any = {"config": config, "keys": known, "audit": log, "jobs": tuning}
        app = create_app(running, registry, model=called, **shared)
        _announce(registry, called, _address(host, taken.getsockname()[1]))
        run(app, taken)
    value = {"model": called, "answers": app.state.service.metrics.answers}
    return Outcome(value, lambda console: _show(console, value["answers"]), json)


def _show(console: Console, answers: int) -> None:
    text = ngettext("Stopped after {n} answer.", "Stopped after {n} answers.", answers)
    console.print(text.format(n=number(answers)))


def _config(settings: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from softprompt.serving.http import ServerConfig

    try:
        return ServerConfig(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            _("The setting {name} cannot be {value}.").format(
                name=".".join(map(str, first["loc"])), value=first["input"]
            ),
            f"{refusal(first['msg'])}.",
        ) from error


def _keys(file: str | None) -> Keys | None:
    """The keys of a file that has some.

    Raises:
        UsageError: it has none, so that nobody could ask.
    """
    from softprompt.serving.keys import Keys

    if file is None:
        return None
    keys = Keys(file)
    if not any(key.revoked is None for key in keys.all()):
        raise UsageError(
            _("There is no key in {file}, so nobody could ask.").format(file=file),
            _("Make one: softprompt keys add NAME --keys {file}").format(file=file),
        )
    return keys


def _called(model: str) -> str:
    """A name for clients: that of a folder without the way to it."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def _address(host: str, port: int) -> str:
    """As a client takes it: an IPv6 address stands in brackets."""
    bare = host.strip("[]")
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"


def _announce(registry: Registry, model: str, url: str) -> None:
    cards = registry.list()
    served = sum(not card.problem for card in cards)
    for card in cards:
        if card.problem:
            warn(_("{name} is not served: {why}").format(name=card.label, why=card.problem))
    prompts = ngettext("{n} prompt", "{n} prompts", served).format(n=number(served))
    text = _("{model} with {prompts} at {url}").format(model=model, prompts=prompts, url=url)
    error_console().print(text, soft_wrap=True)
