"""Jobs whose training process does as the uploaded file says; the registry is a real one."""

from __future__ import annotations

import io
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from serving.http.running import eventually
from serving.jobs import stand_in
from serving.made import made
from tiny import tiny_backbone

from softprompt.serving.audit import Audit
from softprompt.serving.jobs import Job, JobLimits, Jobs, Order, StoredFile, Viewer
from softprompt.serving.registry import Registry

ALL = Viewer()


class Bench:
    """A folder with a registry and jobs, started as often as a test wants."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.registry = stack.enter_context(Registry(folder / "prompts", backbone=tiny_backbone()))

    def start(self, **limits: Any) -> Jobs:
        jobs = Jobs(
            self.folder / "tuning",
            self.registry,
            model="nano",
            called="base",
            limits=JobLimits(**{"grace_seconds": 20, **limits}),
            audit=Audit(self.folder / "audit.jsonl"),
            program=(sys.executable, stand_in.__file__),
        )
        self._stack.callback(lambda: end_all(jobs))
        return jobs

    def artifact(self, name: str = "artifact", **settings: Any) -> str:
        made(**settings).save(self.folder / name)
        return str(self.folder / name)

    def seen(self, job: Job) -> dict[str, Any]:
        """What the process wrote down of itself."""
        text = (self.folder / "tuning" / "jobs" / job.id / "run" / "seen.json").read_text()
        value: dict[str, Any] = json.loads(text)
        return value


def end_all(jobs: Jobs) -> None:
    """Leaves no process behind."""
    if jobs._supervisor._closed:
        return
    for job in jobs.all(ALL):
        if job.status in ("queued", "running", "paused"):
            files = jobs._ledger.files(job.id)
            jobs.cancel(job.id, ALL)
            assert eventually(lambda files=files: not jobs._supervisor._processes.lives(files))
    jobs.close()


def upload(
    jobs: Jobs, do: str, viewer: Viewer = ALL, name: str = "rows.jsonl", **row: Any
) -> StoredFile:
    content = json.dumps({"do": do, **row}).encode() + b"\n"
    return jobs.files.add(name, io.BytesIO(content), viewer)


def begin(jobs: Jobs, do: str, viewer: Viewer = ALL, **row: Any) -> Job:
    """A job in the queue."""
    order = {name: row.pop(name) for name in ("suffix", "hyperparameters") if name in row}
    file = upload(jobs, do, viewer, **row)
    return jobs.create(Order("base", file.id, **order), viewer)


def reaches(jobs: Jobs, job: Job, *statuses: str) -> Job:
    """The job once it has one of the statuses."""
    assert eventually(lambda: jobs.get(job.id, ALL).status in statuses), jobs.get(job.id, ALL)
    return jobs.get(job.id, ALL)


def trains(jobs: Jobs, job: Job) -> Job:
    """The job once its process has got through its files."""
    reaches(jobs, job, "running")
    assert eventually(lambda: not jobs.validating(jobs.get(job.id, ALL)))
    return jobs.get(job.id, ALL)
