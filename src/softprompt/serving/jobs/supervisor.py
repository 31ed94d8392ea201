"""The thread that starts jobs when their turn has come, and settles those whose process has ended.

All that it knows it reads from records and folders, so after a restart of the server it goes on as
if nothing had happened. It does not know who asked for a job.
"""

from __future__ import annotations

import logging
import time
from threading import Event, Thread
from typing import Any

from softprompt.errors import SoftPromptError
from softprompt.serving.jobs.files import FileStore
from softprompt.serving.jobs.job import Failure, Job
from softprompt.serving.jobs.ledger import Ledger
from softprompt.serving.jobs.process import Processes, why_failed
from softprompt.serving.jobs.publication import Publication
from softprompt.serving.jobs.run_records import RunRecords
from softprompt.serving.jobs.viewer import Viewer

__all__ = ["Supervisor", "label_of"]

_log = logging.getLogger("softprompt.jobs")
_BETWEEN_LOOKS = 0.2
_AFTER_TROUBLE = 5.0
_MOST_RESTARTS = 3


class Supervisor:
    """Looks after the jobs of a ledger.

    Args:
        ledger: of jobs.
        files: that they read.
        processes: that train.
        publication: of what they make.
        at_once: jobs that train side by side.
    """

    def __init__(
        self,
        ledger: Ledger,
        files: FileStore,
        processes: Processes,
        publication: Publication,
        at_once: int,
    ) -> None:
        self._ledger, self._files, self._processes = ledger, files, processes
        self._publication, self._at_once = publication, at_once
        self._wake, self._closed = Event(), False
        self._began = time.time()
        self._thread = Thread(target=self._work, name="softprompt-jobs", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def wake(self) -> None:
        """Something has changed."""
        self._wake.set()

    def close(self) -> None:
        """Ends the thread; processes go on and are found again."""
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closed:
            wait: float | None = _AFTER_TROUBLE
            self._wake.clear()
            try:
                wait = _BETWEEN_LOOKS if self._look() else None
            except SoftPromptError as error:
                _log.warning("jobs cannot be looked after: %s", error)
            except Exception:
                _log.exception("jobs cannot be looked after")
            self._wake.wait(wait)

    def _look(self) -> bool:
        """Settles and starts; whether there is anything to look at again."""
        for job in self._in("running"):
            try:
                self._settle(job)
            except SoftPromptError:
                raise
            except Exception:
                # A defect that one job meets must not keep the others waiting.
                _log.exception("job %s cannot be settled", job.id)
                told = "What the training left cannot be used; the server's log says why."
                self._fail(job, Failure("internal_error", told))
        free = self._at_once - len(self._in("running"))
        for job in sorted(self._in("queued"), key=lambda job: job.queued)[: max(0, free)]:
            self._begin(job)
        return bool(self._in("running"))

    def _in(self, status: str) -> list[Job]:
        return [job for job in self._ledger.all() if job.status == status]

    def _begin(self, job: Job) -> None:
        files = self._ledger.files(job.id)
        resumed = files.begun
        files.clear()
        with self._ledger.lock:
            job = self._ledger.get(job.id, Viewer())
            if job.status != "queued":
                return
            told = "The training goes on." if resumed else "The training process begins."
            self._ledger.change(
                job.id, lambda job: job.now(told, status="running", started=time.time())
            )
        try:
            data = self._files.get(job.order.training_file, Viewer())
            self._processes.start(files, self._files.path(data))
        except SoftPromptError as error:
            self._fail(job, Failure("not_started", str(error)))
            return
        _log.info("job %s of %s started", job.id, label_of(job))

    def _settle(self, job: Job) -> None:
        """Writes down what became of a job whose process has ended."""
        files = self._ledger.files(job.id)
        if self._processes.lives(files):
            return
        outcome = files.outcome()
        job = self._ledger.get(job.id, Viewer())
        run = RunRecords.of(files.run)
        reason = "" if outcome is None else outcome.get("reason", "")
        done = outcome is not None and outcome.get("code") == 0 and not run.interrupted
        if job.stopping == "cancel":
            self._ledger.change(job.id, lambda job: job.ended("cancelled", "The job is cancelled."))
        elif done:
            self._publish(job)
        elif job.stopping == "pause":
            self._ledger.change(
                job.id, lambda job: job.now("The job is paused.", status="paused", stopping="")
            )
        elif reason == "ended" or self._cut_off(job, outcome):
            told = "The training process ended with the machine; it goes on as soon as it can."
            self._ledger.change(job.id, lambda job: _again(job, told))
        else:
            self._fail(job, why_failed(files, outcome))

    def _cut_off(self, job: Job, outcome: dict[str, Any] | None) -> bool:
        """Whether the process ended with the server before, as containers do, and may go on.

        What ends in this way again and again may be what brings the machine down.
        """
        earlier = job.started is not None and job.started < self._began
        return outcome is None and earlier and job.restarts < _MOST_RESTARTS

    def _publish(self, job: Job) -> None:
        files = self._ledger.files(job.id)
        try:
            jobs = self._ledger.all()
            published = self._publication.publish(job, files, label_of(job), jobs)
        except SoftPromptError as error:
            self._fail(job, Failure("not_published", str(error)))
            return
        told = f"The job succeeded; its prompt answers as {published.label}."
        self._ledger.change(
            job.id,
            lambda job: job.now(told, published=published).ended("succeeded", "The job is done."),
        )
        files.drop_checkpoints()

    def _fail(self, job: Job, failure: Failure) -> None:
        _log.warning("job %s of %s failed: %s", job.id, label_of(job), failure.message)
        self._ledger.change(job.id, lambda job: job.ended("failed", failure.message, failure))


def _again(job: Job, told: str) -> Job:
    return job.now(told, "warn", status="queued", queued=time.time(), restarts=job.restarts + 1)


def label_of(job: Job) -> str:
    """Who asked for a job, as logs name it."""
    return "anybody" if job.owner is None else f"key {job.owner}"
