"""All jobs of a server: in memory for reading, each on the disk before anybody hears of a change.

It knows records and their folders; what a change means is its caller's matter.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import RLock
from typing import Any

from softprompt.serving.jobs.job import Job
from softprompt.serving.jobs.job_files import JobFiles
from softprompt.serving.jobs.refusals import UnknownItemError
from softprompt.serving.jobs.viewer import Viewer
from softprompt.storage import disk_errors

__all__ = ["Ledger"]

_log = logging.getLogger("softprompt.jobs")


class Ledger:
    """Jobs in a folder, one folder each.

    Args:
        folder: for them alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: dict[str, Job] = {}
        self.lock = RLock()
        """Held over a decision and the change that follows from it."""
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(".*"):
                shutil.rmtree(left, ignore_errors=True)
        for place in sorted(folder.iterdir()):
            try:
                job = JobFiles(place).load()
            except (OSError, ValueError, TypeError, KeyError, AttributeError):
                _log.warning("what lies in %s is no job", place)
                continue
            if job.id == place.name:
                self._jobs[job.id] = job

    def files(self, job_id: str) -> JobFiles:
        """The folder of a job that there is."""
        return JobFiles(self._folder / job_id)

    def add(self, job: Job, settings: Mapping[str, Any]) -> None:
        """Writes down a new job and the configuration of its run.

        Raises:
            UsageError: it cannot be written; nothing is left of it then.
        """
        files = self.files(job.id)
        with self.lock:
            try:
                files.configure(settings)
                self._put(job)
            except BaseException:
                shutil.rmtree(files.folder, ignore_errors=True)
                raise

    def remove(self, job_id: str) -> None:
        """Forgets a job that has ended, with all that is in its folder.

        Raises:
            UsageError: the folder cannot be written.
        """
        bin_ = self._folder / f".{job_id}"
        with self.lock:
            # Gone in one step, however much it is.
            with disk_errors(bin_):
                (self._folder / job_id).rename(bin_)
            self._jobs.pop(job_id, None)
        shutil.rmtree(bin_, ignore_errors=True)

    def change(self, job_id: str, how: Callable[[Job], Job]) -> Job:
        """Changes a job from what it is now.

        Raises:
            UsageError: the change cannot be written; nothing has changed then.
        """
        with self.lock:
            job = how(self._jobs[job_id])
            self._put(job)
        return job

    def get(self, job_id: str, viewer: Viewer) -> Job:
        """The job of an ID.

        Raises:
            UnknownItemError: there is none that is seen.
        """
        job = self._jobs.get(job_id)
        if job is None or not viewer.may_see(job.owner):
            raise UnknownItemError(
                f"There is no job {job_id[:60]!r}.", "GET /v1/fine_tuning/jobs lists what there is."
            )
        return job

    def all(self, viewer: Viewer | None = None) -> list[Job]:
        """The jobs that are seen, all without a viewer; the newest first."""
        with self.lock:
            jobs = list(self._jobs.values())
        viewer = viewer or Viewer()
        seen = [job for job in jobs if viewer.may_see(job.owner)]
        return sorted(seen, key=lambda job: (-job.created, job.id))

    def _put(self, job: Job) -> None:
        self.files(job.id).save(job)
        self._jobs[job.id] = job
