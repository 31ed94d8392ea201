"""Random requests and damaged uploads break nothing; at length: `python -m benchmarks.fuzz`."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving.made import made
from tiny import tiny_backbone

pytest.importorskip("schemathesis")

from benchmarks.damaged import damaged
from benchmarks.fuzz import fuzz_document, fuzz_uploads, served
from softprompt.serving.registry import Registry


@pytest.mark.slow
def test_nothing_breaks(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    with served(backbone, tmp_path) as (url, registry):
        document = fuzz_document(url, registry, backbone, 25)
        uploads = fuzz_uploads(url, tmp_path, made(kind="score"), 250)
    assert not document.failures
    assert not uploads.failures
    assert document.requests > 400
    assert document.statuses[200] > 10, "some requests get through"
    assert uploads.statuses[201] > 5, "some damage is harmless"


def test_a_few_damaged_uploads(tmp_path: Path) -> None:
    with served(tiny_backbone(), tmp_path) as (url, _):
        found = fuzz_uploads(url, tmp_path, made(kind="score"), 40)
    assert not found.failures
    assert found.requests > 40


def test_a_defect_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tiny_backbone(), tmp_path) as (url, registry):

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("a defect")

        monkeypatch.setattr(Registry, "publish", broken)
        uploads = fuzz_uploads(url, tmp_path, made(kind="score"), 3)
        assert len(uploads.failures) == 3
        monkeypatch.setattr(Registry, "list", broken)
        monkeypatch.setattr(Registry, "names", lambda self: ["label", "write"])
        document = fuzz_document(url, registry, tiny_backbone(), 1)
    assert any(failure.startswith("GET /v1/models ") for failure in document.failures)


def test_artifacts_are_damaged_in_many_ways(tmp_path: Path) -> None:
    made().save(tmp_path / "artifact")
    found = list(damaged(tmp_path / "artifact", 100))
    whole = tuple(
        (tmp_path / "artifact" / f"prompt.{kind}").read_bytes() for kind in ("json", "safetensors")
    )
    assert len(set(found)) > 90
    assert whole not in found
    assert found == list(damaged(tmp_path / "artifact", 100)), "the same seed, the same damage"
