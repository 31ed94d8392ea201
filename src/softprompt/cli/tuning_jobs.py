"""The jobs of `softprompt serve --jobs`: tuning for clients, beside the answers.

It knows flags and where jobs begin; what they do is the server's matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from softprompt.cli.streams import warn
from softprompt.errors import UsageError
from softprompt.locale import _, ngettext, number

if TYPE_CHECKING:
    from softprompt.serving.audit import Audit
    from softprompt.serving.jobs import Jobs
    from softprompt.serving.registry import Registry

__all__ = ["open_jobs"]


@contextmanager
def open_jobs(
    folder: str | None,
    seconds: float | None,
    registry: Registry,
    audit: Audit,
    *,
    model: str,
    called: str,
    backbone: tuple[str, str],
    engine: str,
) -> Iterator[Jobs | None]:
    """Takes jobs as long as the server runs; what trains at its end goes on.

    Args:
        folder: of files and jobs; None where the server does not tune.
        seconds: that a job may train; None for the usual limit.
        registry: that prompts go into.
        audit: where that is noted.
        model: that is trained over, as `--model` says.
        called: what clients call it.
        backbone: its precision and device.
        engine: what answers; a vLLM server has no readouts of contexts.

    Raises:
        UsageError: another server works on the folder, or a value cannot be.
    """
    if folder is None:
        if seconds is not None:
            raise UsageError(_("--job-time needs --jobs."), _("Add --jobs DIR."))
        yield None
        return
    from softprompt.serving.jobs import JobLimits, Jobs, Viewer

    if seconds is not None and not 0 < seconds < float("inf"):
        raise UsageError(
            _("--job-time cannot be {value}.").format(value=seconds),
            _("Give a number of seconds above 0."),
        )
    limits = JobLimits() if seconds is None else JobLimits(seconds=seconds)
    with Jobs(
        folder,
        registry,
        model=model,
        called=called,
        readouts=engine != "vllm",
        backbone=dict(zip(("dtype", "device"), backbone, strict=True)),
        limits=limits,
        audit=audit,
    ) as jobs:
        yield jobs
        left = sum(job.status == "running" for job in jobs.all(Viewer()))
    if left:
        text = ngettext(
            "{n} job goes on training; the next server finds it.",
            "{n} jobs go on training; the next server finds them.",
            left,
        )
        warn(text.format(n=number(left)))
