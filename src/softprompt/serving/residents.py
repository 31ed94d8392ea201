"""Prompts that are loaded and ready, those used lately; any other is loaded when it is asked for.

A prompt costs its vectors, so that thousands fit; a bound keeps ten thousands from filling the
memory. It does not know requests.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock

from softprompt.backbones import Backbone
from softprompt.inference import task_of
from softprompt.inference.mixed import ReadyPrompt
from softprompt.prompts import Layout, SoftPrompt
from softprompt.serving.source import Source, Version
from softprompt.tasks import Task

__all__ = ["Resident", "Residents"]

TEMPLATES = 64
"""Prompts with a request's own template that are kept."""


@dataclass(frozen=True, eq=False)
class Resident:
    """A loaded prompt.

    Args:
        version: that it is.
        prompt: its vectors and what they do.
        layout: of rows around it.
        task: how rows are rendered.
        members: what each member of an ensemble puts into the backbone; one otherwise.
    """

    version: Version
    prompt: SoftPrompt
    layout: Layout
    task: Task
    members: tuple[ReadyPrompt, ...]

    @classmethod
    def of(cls, version: Version, prompt: SoftPrompt, backbone: Backbone) -> Resident:
        """A prompt made ready.

        Raises:
            ArtifactError: it belongs to another backbone.
        """
        return cls(
            version,
            prompt,
            prompt.layout(backbone),
            task_of(prompt.task),
            tuple(ReadyPrompt.of(rows, prompt.depth, backbone) for rows in prompt.members),
        )

    def named(self, version: Version) -> Resident:
        """The same content under another name or number."""
        return self if self.version == version else replace(self, version=version)

    @property
    def bytes(self) -> int:
        """Memory of its vectors, as stored and as the backbone takes them."""
        stored = sum(x.numel() * x.element_size() for x in self.prompt.tensors.values())
        return stored + sum(member.bytes for member in self.members)


class Residents:
    """Loaded prompts by the key of their version.

    Args:
        backbone: that they belong to.
        source: where they are loaded from.
        budget: bytes of vectors to keep at most; the one in use always stays.
    """

    def __init__(self, backbone: Backbone, source: Source, budget: int) -> None:
        self._backbone, self._source, self._budget = backbone, source, budget
        self._lock = Lock()
        self._found: OrderedDict[str, Resident] = OrderedDict()
        self._templated: OrderedDict[tuple[str, str], Resident] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._found)

    def get(self, name: str) -> Resident:
        """The prompt that a name means now.

        Raises:
            UnknownPromptError: there is none.
            ArtifactError: it is damaged or belongs to another backbone.
        """
        version = self._source.resolve(name)
        with self._lock:
            found = self._found.get(version.key)
            if found is not None:
                self._found.move_to_end(version.key)
                return found.named(version)
        # Two threads may load the same prompt at once; they load the same.
        loaded = Resident.of(version, self._source.load(version), self._backbone)
        with self._lock:
            found = self._found.setdefault(version.key, loaded)
            if found is loaded:
                self.bytes += loaded.bytes
            while self.bytes > self._budget and len(self._found) > 1:
                _, old = self._found.popitem(last=False)
                self.bytes -= old.bytes
            return found.named(version)

    def with_template(self, resident: Resident, text: str) -> Resident:
        """The same vectors with other text around them.

        Raises:
            UsageError: the template does not fit the vectors.
        """
        key = resident.version.key, text
        with self._lock:
            found = self._templated.get(key)
            if found is not None:
                self._templated.move_to_end(key)
                # The same content may have another name, which is what the caller asked for.
                return found.named(resident.version)
        prompt = resident.prompt.with_template(text)
        made = replace(
            resident, prompt=prompt, layout=prompt.layout(self._backbone), task=task_of(prompt.task)
        )
        with self._lock:
            self._templated[key] = made
            while len(self._templated) > TEMPLATES:
                self._templated.popitem(last=False)
        return made
