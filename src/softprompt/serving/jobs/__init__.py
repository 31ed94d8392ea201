"""Tuning behind a server: uploaded files, a queue of jobs, their processes, and what they make.

Training is another process with the command line of `softprompt tune`; its folder is read, and
nothing of it is imported.
"""

from __future__ import annotations

from softprompt.serving.jobs.events import Event
from softprompt.serving.jobs.files import FileStore, StoredFile
from softprompt.serving.jobs.job import Failure, Job, Order
from softprompt.serving.jobs.jobs import Jobs
from softprompt.serving.jobs.limits import JobLimits
from softprompt.serving.jobs.refusals import ItemStateError, UnknownItemError
from softprompt.serving.jobs.run_records import RunRecords
from softprompt.serving.jobs.viewer import Viewer

__all__ = [
    "Event",
    "Failure",
    "FileStore",
    "ItemStateError",
    "Job",
    "JobLimits",
    "Jobs",
    "Order",
    "RunRecords",
    "StoredFile",
    "UnknownItemError",
    "Viewer",
]
