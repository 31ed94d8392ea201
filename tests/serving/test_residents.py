"""Loaded prompts: which version they are told as."""

from __future__ import annotations

from serving.made import made
from tiny import tiny_backbone

from softprompt.serving.residents import Residents
from softprompt.serving.source import Version


class Shelf:
    """One content under every name."""

    def resolve(self, name: str) -> Version:
        return Version(name, 1, "the same")

    def load(self, version: Version):  # type: ignore[no-untyped-def]
        return made()


def test_the_same_content_keeps_the_name_that_was_asked_for() -> None:
    residents = Residents(tiny_backbone(), Shelf(), 1 << 20)
    template = "{text}: {answer}"
    for name in ("hidden", "mine"):
        resident = residents.get(name)
        assert resident.version.label == f"{name}@1"
        assert residents.with_template(resident, template).version.label == f"{name}@1"
    assert len(residents) == 1
