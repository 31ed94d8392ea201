"""No path of the server stands in what others read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from serving.jobs.bench import Bench, begin, reaches
from serving.made import made

from softprompt.serving.jobs.places import Places


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/srv/my jobs/files/file-1/file-1.csv: line 3", "file-1.csv: line 3"),
        ("'/srv/my jobs/jobs/ftjob-1/run' is in use.", "'run' is in use."),
        ("Nothing in /srv/my jobs, nor below.", "Nothing in , nor below."),
        ("/srv/my jobsite/a", "/srv/my jobsite/a"),
        ("/srv/big model/config.json and /srv/big model", "base/config.json and base"),
        ("/srv/big models/x", "/srv/big models/x"),
        ("1/2 of {text}", "1/2 of {text}"),
    ],
)
def test_paths_are_hidden(text: str, told: str) -> None:
    places = Places(Path("/srv/my jobs"), "/srv/big model", "base")
    assert places.hidden(text) == told
    assert places.hidden_in({text: [text, 1, None]}) == {told: [told, 1, None]}


def test_the_name_of_a_model_is_no_path() -> None:
    assert Places(Path("/srv/jobs"), "nano", "base").hidden("nano") == "nano"


def test_a_published_prompt_tells_no_path(bench: Bench) -> None:
    jobs = bench.start()
    root = bench.folder / "tuning"
    prompt = made()
    config = {"data": f"{root}/files/f/f.csv", "task": {"validation": f"{root}/files/g/g.csv"}}
    replace(prompt, config=config, data={f"{root}/files/f/f.csv": "0" * 64}).save(
        bench.folder / "artifact"
    )
    job = begin(jobs, "finish", prompt=str(bench.folder / "artifact"), suffix="a")
    done = reaches(jobs, job, "succeeded", "failed")
    assert done.published is not None, done
    version = bench.registry.resolve("a")
    assert version.key == done.published.key
    described = json.loads((bench.registry.path(version) / "prompt.json").read_text())
    assert described["config"] == {"data": "f.csv", "task": {"validation": "g.csv"}}
    assert list(described["data"]) == ["f.csv"]
    assert not jobs._ledger.files(job.id).public.exists()
