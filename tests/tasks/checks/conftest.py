from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from softprompt.tasks.checks import CHECKS
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.evidence import Evidence, Problem, Unmet
from softprompt.tasks.parts import read_parts
from softprompt.tasks.task import render_row

from ..conftest import Write

Find = Callable[..., list[Problem]]


@pytest.fixture
def find(write: Write) -> Find:
    """What one check says of rows written to a file: data.jsonl, all of it training rows."""

    def run(
        name: str,
        rows: Sequence[Mapping[str, object]],
        *,
        test: Sequence[Mapping[str, object]] | None = None,
        encode: Callable[[str], list[int]] | None = None,
        window: int | None = None,
        unmet: Unmet | None = None,
        **settings: object,
    ) -> list[Problem]:
        if test is not None:
            settings["test"] = str(write("test.jsonl", test))
        shares = {"validation_share": 0, "test_share": 0}
        config = TaskConfig.from_settings({**shares, **settings})
        parts = read_parts(write("data.jsonl", rows), config)
        template = parts.layout.template
        evidence = Evidence(
            config, parts, lambda row: render_row(row, template), encode, window, unmet
        )
        return list(CHECKS.get(name)(evidence))

    return run
