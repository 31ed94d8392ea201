"""From a job to a prompt in the registry: what it may be called, and putting it there once.

A name is its owner's alone: a job never becomes the next version of a prompt that somebody else put
into the registry. It does not know the queue.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from softprompt.errors import UnknownPromptError, UsageError
from softprompt.serving.audit import Audit
from softprompt.serving.jobs.job import ACTIVE, Job, Published
from softprompt.serving.jobs.job_files import JobFiles
from softprompt.serving.jobs.places import Places
from softprompt.serving.registry.examination import digest_of, examine
from softprompt.serving.registry.names import prompt_name, twins

if TYPE_CHECKING:
    from softprompt.serving.registry import Registry

__all__ = ["Publication", "name_of"]


def name_of(suffix: str | None, job_id: str) -> str:
    """What the prompt of a job is called: the suffix with `-` for spaces, or a name of its own.

    Raises:
        UsageError: the suffix cannot be a name.
    """
    if suffix is None:
        return f"ft-{job_id.rpartition('-')[2][:12]}"
    return prompt_name("-".join(suffix.split()))


class Publication:
    """Puts prompts into a registry.

    Args:
        registry: that the server answers from.
        audit: where that is noted.
        called: name of the base model, which no prompt may have.
        places: of this machine, which no prompt tells.
    """

    def __init__(self, registry: Registry, audit: Audit, called: str, places: Places) -> None:
        self._registry, self._audit, self._called = registry, audit, called
        self._places = places

    def check(self, name: str, owner: str | None, jobs: Iterable[Job], key: str = "") -> None:
        """Refuses a name that is another's.

        Args:
            name: that the prompt would have.
            owner: of the job.
            jobs: all there are.
            key: digest of the prompt that is about to get the name, and may have it already.

        Raises:
            UsageError: with the reason.
        """
        taken = UsageError(f"The name {name!r} is taken.", "Choose another suffix.")
        if name == self._called or twins(name, [self._called]):
            raise UsageError(f"{name!r} is the base model's name.", "Choose another suffix.")
        jobs, there = list(jobs), self._registry.names()
        named = [job for job in jobs if job.name == name]
        if any(job.owner != owner and job.status in ACTIVE for job in named):
            raise taken
        if name not in there:
            # The registry would refuse it, and then the training would have been for nothing.
            if twins(name, [*there, *(job.name for job in jobs if job.status in ACTIVE)]):
                raise UsageError(
                    f"The name {name!r} differs from a taken one in capitals or the like only.",
                    "Choose another suffix.",
                )
            return
        mine = {job.published.key for job in named if job.owner == owner and job.published}
        mine.add(key)
        try:
            cards = self._registry.history(name)
        except UnknownPromptError:
            return
        if any(card.key not in mine for card in cards):
            raise taken

    def publish(self, job: Job, files: JobFiles, by: str, jobs: Iterable[Job]) -> Published:
        """Checks the prompt of a job and makes it the current version of its name.

        A prompt that is there already, from an attempt that was cut off, is not put there twice.

        Args:
            job: whose training is done.
            files: of it.
            by: who asked, as the audit log names it.
            jobs: all there are.

        Raises:
            ArtifactError: it is damaged, or of another backbone.
            UsageError: its name was taken meanwhile, or it cannot be written.
        """
        public = self._public(files)
        key = digest_of(public)
        self.check(job.name, job.owner, jobs, key)
        if (label := self._there(job.name, key)) is None:
            with self._audit.action("publish", by=by, name=job.name, job=job.id) as found:
                version = self._registry.publish(job.name, public)
                found["version"] = version.number
            label = version.label
        shutil.rmtree(public, ignore_errors=True)
        return Published(label, key)

    def _public(self, files: JobFiles) -> Path:
        """The artifact as others may read it, the same whenever it is made."""
        prompt, _ = examine(files.prompt)
        hidden = self._places.hidden_in
        public = replace(
            prompt,
            config=hidden(dict(prompt.config)),
            data=hidden(dict(prompt.data)),
            backbone=replace(prompt.backbone, name=self._places.hidden(prompt.backbone.name)),
        )
        return public.save(files.public)

    def _there(self, name: str, key: str) -> str | None:
        try:
            cards = self._registry.history(name)
        except UnknownPromptError:
            return None
        return next((card.label for card in cards if card.key == key), None)
