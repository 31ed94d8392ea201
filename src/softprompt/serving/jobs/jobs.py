"""Tuning as a service: files come in, jobs wait, train in processes of their own, and end as
prompts of the registry.

    jobs = Jobs("tuning", registry, model="nano", called="nano")
    file = jobs.files.add("reviews.csv", content, viewer)
    job = jobs.create(Order("nano", file.id, suffix="reviews"), viewer)

One server at a time works on a folder. When it ends, training goes on, and the next one finds it.
It does not know HTTP, and it never imports what trains.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.errors import OverloadedError, UnknownPromptError, UsageError
from softprompt.serving.audit import Audit
from softprompt.serving.jobs.events import Event, events_of
from softprompt.serving.jobs.files import FileStore
from softprompt.serving.jobs.job import ACTIVE, Job, Order
from softprompt.serving.jobs.ledger import Ledger
from softprompt.serving.jobs.limits import JobLimits
from softprompt.serving.jobs.places import Places
from softprompt.serving.jobs.process import PROGRAM, Processes
from softprompt.serving.jobs.publication import Publication, name_of
from softprompt.serving.jobs.refusals import ItemStateError, UnknownItemError
from softprompt.serving.jobs.run_records import RunRecords
from softprompt.serving.jobs.settings import check_settings, run_settings
from softprompt.serving.jobs.supervisor import Supervisor
from softprompt.serving.jobs.viewer import Viewer
from softprompt.storage import disk_errors, hold

if TYPE_CHECKING:
    from softprompt.serving.registry import Registry

__all__ = ["Jobs"]

_SECONDS_TO_WAIT = 60.0


class Jobs:
    """Files and jobs of a server.

    Args:
        folder: for both; made if absent.
        registry: that what is trained goes into; the server's own.
        model: what trains: `nano`, a folder or a Hub ID, as `softprompt tune --model` takes it.
        called: what clients call it.
        backbone: further settings of it, `dtype` and `device`.
        readouts: whether the server's engine can answer with a readout of contexts.
        limits: of files, queue and processes.
        audit: where publications are noted.
        program: words before `tune`.

    Raises:
        UsageError: another server works on the folder, or it cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        registry: Registry,
        *,
        model: str,
        called: str,
        backbone: Mapping[str, Any] | None = None,
        readouts: bool = True,
        limits: JobLimits | None = None,
        audit: Audit | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        root = Path(folder).absolute()
        self.called, self.limits = called, limits or JobLimits()
        # A job has a folder of its own, from where a relative path leads elsewhere.
        place = str(Path(model).absolute()) if Path(model).is_dir() else model
        self._backbone = {**(backbone or {}), "model": place}
        self._readouts = readouts
        self.places = Places(root, place, called)
        self._lock = _alone(root)
        self.files = FileStore(root / "files", self.limits)
        self._ledger = Ledger(root / "jobs")
        self._publication = Publication(registry, audit or Audit(None), called, self.places)
        self._supervisor = Supervisor(
            self._ledger,
            self.files,
            Processes(self.limits, program),
            self._publication,
            self.limits.at_once,
        )
        self._supervisor.start()

    def create(self, order: Order, viewer: Viewer) -> Job:
        """Puts a job into the queue.

        Raises:
            UnknownPromptError: the model is another than the base model.
            UnknownItemError: there is no such file.
            UsageError: a setting or the suffix cannot be.
            OverloadedError: too many are waiting.
        """
        if order.model != self.called:
            raise UnknownPromptError(
                f"{order.model!r} cannot be tuned.", f"Allowed: {self.called}."
            )
        check_settings(order.hyperparameters, order.task)
        now, id_ = time.time(), f"ftjob-{secrets.token_hex(12)}"
        name = name_of(order.suffix, id_)
        job = Job(id=id_, order=order, owner=viewer.owner, name=name, created=now, queued=now)
        with self._ledger.lock:
            self._check_queue(viewer.owner)
            self._make_room(viewer.owner)
            paths = self._paths(job, viewer)
            self._publication.check(name, viewer.owner, self._ledger.all())
            settings = run_settings(
                order.hyperparameters,
                order.task,
                backbone=self._backbone,
                seed=order.seed,
                validation=paths[1] if len(paths) > 1 else None,
                readouts=self._readouts,
            )
            job = job.now("The job is in the queue.")
            self._ledger.add(job, settings)
        self._supervisor.wake()
        return job

    def get(self, job_id: str, viewer: Viewer) -> Job:
        """The job of an ID.

        Raises:
            UnknownItemError: there is none that is seen.
        """
        return self._ledger.get(job_id, viewer)

    def all(self, viewer: Viewer) -> list[Job]:
        """The jobs that are seen, the newest first."""
        return self._ledger.all(viewer)

    def run(self, job: Job) -> RunRecords:
        """What the run of a job tells so far."""
        return RunRecords.of(self._ledger.files(job.id).run)

    def validating(self, job: Job) -> bool:
        """Whether the process runs and has not yet found the files good."""
        return job.status == "running" and not self._ledger.files(job.id).begun

    def events(self, job: Job) -> list[Event]:
        """What happened to it, the oldest first."""
        return events_of(job, self.run(job))

    def cancel(self, job_id: str, viewer: Viewer) -> Job:
        """Ends a job; a process gets time to save its state.

        Raises:
            UnknownItemError: there is none that is seen.
            ItemStateError: it has ended already.
        """
        return self._stop(job_id, viewer, "cancel")

    def pause(self, job_id: str, viewer: Viewer) -> Job:
        """Ends a job's process for now, or takes it out of the queue.

        Raises:
            UnknownItemError: there is none that is seen.
            ItemStateError: it does not wait or run.
        """
        return self._stop(job_id, viewer, "pause")

    def resume(self, job_id: str, viewer: Viewer) -> Job:
        """Puts a paused, failed or cancelled job into the queue again; it goes on where it was.

        Raises:
            UnknownItemError: there is none that is seen, or one of its files was deleted.
            UsageError: its name was taken meanwhile.
            ItemStateError: it is at work, or done.
            OverloadedError: too many are waiting.
        """
        with self._ledger.lock:
            job = self._ledger.get(job_id, viewer)
            if job.status not in ("paused", "failed", "cancelled"):
                raise ItemStateError(
                    f"The job is {job.status} and cannot be resumed.",
                    "Paused, failed and cancelled jobs can.",
                )
            self._check_queue(job.owner, job_id)
            self._paths(job, Viewer())
            self._publication.check(job.name, job.owner, self._ledger.all())
            job = self._ledger.change(
                job_id,
                lambda job: job.now(
                    "The job is in the queue again.",
                    status="queued",
                    queued=time.time(),
                    finished=None,
                    failure=None,
                    restarts=0,
                ),
            )
        self._supervisor.wake()
        return job

    def delete_file(self, file_id: str, viewer: Viewer) -> None:
        """Removes a file that no job needs any more.

        Raises:
            UnknownItemError: there is none that is seen.
            ItemStateError: a job needs it.
        """
        with self._ledger.lock:
            file = self.files.get(file_id, viewer)
            using = [j.id for j in self._ledger.all() if j.status in ACTIVE and file_id in j.files]
            if using:
                raise ItemStateError(
                    f"The job {using[0]} needs the file.",
                    "Wait for its end or cancel it.",
                    "file_in_use",
                )
            self.files.delete(file)

    def close(self) -> None:
        """Stops looking after jobs; what trains goes on, and the next server finds it."""
        self._supervisor.close()
        os.close(self._lock)

    def __enter__(self) -> Jobs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stop(self, job_id: str, viewer: Viewer, how: str) -> Job:
        with self._ledger.lock:
            job = self._ledger.get(job_id, viewer)
            if job.status not in ACTIVE or (how == "pause" and job.status == "paused"):
                raise ItemStateError(f"The job is {job.status} already.")
            if job.status == "running":
                if job.stopping == "cancel" and how == "pause":
                    raise ItemStateError("The job is being cancelled.")
                told = f"The job shall {how}; its process saves its state."
                job = self._ledger.change(job_id, lambda job: job.now(told, stopping=how))
                self._ledger.files(job_id).ask_to_stop(how)
            elif how == "pause":
                job = self._ledger.change(
                    job_id, lambda job: job.now("The job is paused.", status="paused")
                )
            else:
                job = self._ledger.change(
                    job_id, lambda job: job.ended("cancelled", "The job is cancelled.")
                )
        self._supervisor.wake()
        return job

    def _paths(self, job: Job, viewer: Viewer) -> list[Path]:
        paths = [self.files.path(self.files.get(file, viewer)) for file in job.files]
        if not all(path.is_file() for path in paths):
            raise UnknownItemError("A file of the job is not there any more.", "Upload it again.")
        return paths

    def _check_queue(self, owner: str | None, but: str = "") -> None:
        """What is paused waits as well, for its owner, and keeps its state on the disk."""
        jobs = [job for job in self._ledger.all() if job.id != but]
        own = [job for job in jobs if job.owner == owner and job.status in ("queued", "paused")]
        for count, most, what in (
            (sum(job.status == "queued" for job in jobs), self.limits.waiting, "waiting"),
            (len(own), self.limits.waiting_each, "waiting or paused"),
        ):
            if count >= most:
                raise OverloadedError(
                    f"{count} jobs are {what}, which is all that may.",
                    "Try again when one has ended.",
                    _SECONDS_TO_WAIT,
                )

    def _make_room(self, owner: str | None) -> None:
        """Keeps of an owner's jobs without a prompt no more than the limits say."""
        ended = [
            job
            for job in self._ledger.all()
            if job.owner == owner and job.status in ("failed", "cancelled")
        ]
        ended.sort(key=lambda job: job.finished or 0.0, reverse=True)
        for job in ended[self.limits.resumable_each : self.limits.ended_each]:
            self._ledger.files(job.id).drop_checkpoints()
        for job in ended[self.limits.ended_each :]:
            self._ledger.remove(job.id)


def _alone(root: Path) -> int:
    """Keeps a second server from the folder.

    Raises:
        UsageError: one is at work, or the folder cannot be written.
    """
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = hold(root / "lock")
    if lock is None:
        raise UsageError(
            f"Another server works on the jobs in {root}.", "Stop it, or name another folder."
        )
    return lock
