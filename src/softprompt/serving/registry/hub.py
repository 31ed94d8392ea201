"""Prompts to and from the Hugging Face Hub, through its own client.

A repository holds one prompt, or several in folders by name. Nothing but the files of an artifact
is ever sent or taken, and each artifact is examined before it is sent and before it is published.
It does not know registries beyond publishing into one.
"""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.errors import ArtifactError, SoftPromptError, UnknownPromptError, UsageError
from softprompt.serving.registry.examination import (
    FILES,
    copy_artifact,
    examine,
    holds_artifact,
)
from softprompt.serving.registry.names import is_name, prompt_name, split
from softprompt.serving.registry.registry import Registry
from softprompt.serving.source import Version

__all__ = ["Pushed", "artifacts_at", "pull", "push"]

_MOST_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Pushed:
    """What came of a push.

    Args:
        url: of the commit.
        commit: its hash.
        prompts: names of the folders in the repository; "" for its root.
    """

    url: str
    commit: str
    prompts: tuple[str, ...]


def artifacts_at(path: Path) -> dict[str, Path]:
    """The artifacts that a path means, by the folder that they shall have in a repository.

    Args:
        path: an artifact or a run, alone and so for the root (""); `FOLDER/NAME`,
            `FOLDER/NAME@3` or `FOLDER/NAME@production` of a registry, for the root as well; or a
            whole registry, the current version of every name.

    Raises:
        UnknownPromptError: the registry has no such prompt.
        UsageError: there is nothing.
    """
    for folder in (path, path / "prompt"):
        if holds_artifact(folder):
            return {"": folder}
    name = split(path.name)[0]
    if is_name(name) and _holds_versions(path.parent / name):
        with Registry(path.parent) as registry:
            return {"": registry.path(registry.resolve(path.name))}
    if path.is_dir():
        with Registry(path) as registry:
            cards = registry.list(servable=True)
            found = {card.name: registry.path(registry.resolve(card.name)) for card in cards}
        if found:
            return found
    raise UsageError(
        f"There is no prompt at {path}.",
        "Name an artifact, a run, a folder of prompts, or FOLDER/NAME of one in it.",
    )


def push(
    artifacts: Mapping[str, Path],
    repository: str,
    *,
    revision: str | None = None,
    private: bool = True,
    endpoint: str | None = None,
) -> Pushed:
    """Sends artifacts to a repository in one commit; it is made if it is not there.

    Args:
        artifacts: folders by their folder in the repository, "" for its root.
        repository: `OWNER/NAME`.
        revision: branch, made if it is not there; the main one when absent.
        private: whether a new repository is seen by its owner alone.
        endpoint: address of the Hub; `HF_ENDPOINT` or the public one when absent.

    Raises:
        ArtifactError: an artifact is damaged; nothing is sent.
        UsageError: the Hub refuses or cannot be reached.
    """
    with tempfile.TemporaryDirectory() as scratch, _told(repository):
        from huggingface_hub import CommitOperationAdd

        operations = []
        for name, folder in artifacts.items():
            copy = Path(scratch) / (name or "prompt")
            copy_artifact(folder, copy)
            try:
                examine(copy)
            except ArtifactError as error:
                raise _named(error, copy, str(folder)) from error
            operations += [
                CommitOperationAdd(f"{name}/{file}" if name else file, str(copy / file))
                for file in FILES
                if (copy / file).is_file()
            ]
        client = _client(endpoint)
        client.create_repo(repository, private=private, exist_ok=True)
        if revision is not None:
            client.create_branch(repository, branch=revision, exist_ok=True)
        what = ", ".join(name for name in artifacts if name) or "Soft prompt"
        done = client.create_commit(
            repository, operations, commit_message=what[:200], revision=revision
        )
        return Pushed(str(done.commit_url), str(done.oid), tuple(artifacts))


def pull(
    repository: str,
    registry: Registry,
    *,
    name: str | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
) -> list[tuple[Version, bool]]:
    """Publishes what a repository holds into a registry, all of one commit.

    Args:
        repository: `OWNER/NAME`.
        registry: to publish into; nothing is published unless everything is sound.
        name: of the prompt at the root of the repository; the repository's when absent.
        revision: branch, tag or commit; the main branch when absent.
        endpoint: as for `push`.

    Returns:
        Each version, and whether it is new: what is current already is not published again.

    Raises:
        ArtifactError: an artifact is damaged, or of another backbone than the registry's.
        UsageError: there is none, or the Hub refuses or cannot be reached.
    """
    with tempfile.TemporaryDirectory() as scratch:
        with _told(repository):
            client = _client(endpoint)
            info = client.repo_info(repository, revision=revision, files_metadata=True)
            wanted = _wanted(info.siblings or (), repository)
            for path in wanted:
                client.hf_hub_download(repository, path, revision=info.sha, local_dir=scratch)
        folders = {}
        for place in dict.fromkeys(path.rpartition("/")[0] for path in wanted):
            found = prompt_name(place or name or repository.rpartition("/")[2])
            if found in folders:
                raise UsageError(
                    f"{repository} holds two prompts that would be called {found!r}.",
                    "Give the one at its root another name with --name.",
                )
            folders[found] = Path(scratch) / place
        keys = {}
        for found, folder in folders.items():
            try:
                keys[found] = registry.check(folder)
            except ArtifactError as error:
                raise _named(error, folder, f"{repository}: {found}") from error
        done = []
        for found, folder in folders.items():
            known = _current(registry, found)
            if known is not None and known.key == keys[found]:
                done.append((known, False))
                continue
            origin = {"hub": f"{repository}@{str(info.sha)[:12]}"}
            done.append((registry.publish(found, folder, tags=origin), True))
        return done


def _named(error: ArtifactError, folder: Path, name: str) -> ArtifactError:
    """The error with a name for a folder that is gone by the time somebody reads it."""
    return ArtifactError(error.message.replace(str(folder), name), error.hint)


def _holds_versions(folder: Path) -> bool:
    return (folder / "name.json").is_file() or any(
        child.name.isdecimal() and holds_artifact(child)
        for child in (folder.iterdir() if folder.is_dir() else ())
    )


def _current(registry: Registry, name: str) -> Version | None:
    try:
        return registry.resolve(name)
    except UnknownPromptError:
        return None


def _wanted(files: Any, repository: str) -> list[str]:
    """The files of artifacts among those of a repository.

    Raises:
        UsageError: there are none, or they are far too large for prompts.
    """
    sizes = {file.rfilename: file.size or 0 for file in files}
    folders = {path.rpartition("/")[0] for path in sizes if path.rpartition("/")[2] == FILES[0]}
    taken = [
        path
        for folder in sorted(folders)
        for file in FILES
        if (path := f"{folder}/{file}" if folder else file) in sizes
        and (not folder or is_name(unicodedata.normalize("NFC", folder)))
    ]
    if not taken:
        raise UsageError(
            f"The repository {repository} holds no soft prompt: there is no {FILES[0]} in it.",
            "Check its name and the revision.",
        )
    total = sum(sizes[path] for path in taken)
    if total > _MOST_BYTES:
        raise UsageError(
            f"The prompts in {repository} take {total:,} bytes; at most {_MOST_BYTES:,} are taken.",
            "Check that it is the right repository.",
        )
    return taken


def _client(endpoint: str | None) -> Any:
    from huggingface_hub import HfApi, utils

    bars: Any = utils
    bars.disable_progress_bars()
    return HfApi(endpoint=endpoint, library_name="softprompt")


@contextmanager
def _told(repository: str) -> Iterator[None]:
    """Turns what the Hub's client raises into one sentence.

    Raises:
        UsageError: the Hub refuses or cannot be reached.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    known: dict[type[Exception], tuple[str, str]] = {
        HFValidationError: ("that is no name of a repository", "Write OWNER/NAME."),
        GatedRepoError: ("its owner has to let you in first", "Ask for access on its page."),
        RevisionNotFoundError: ("it has no such revision", "Name a branch, a tag or a commit."),
        RepositoryNotFoundError: (
            "it is not there, or not for you",
            "Check its name, and log in with `hf auth login` or HF_TOKEN.",
        ),
        OfflineModeIsEnabled: ("HF_HUB_OFFLINE forbids it", "Unset HF_HUB_OFFLINE."),
    }
    try:
        yield
    except SoftPromptError:
        raise
    except Exception as error:  # the client lets through whatever a network raises
        told = next((told for kind, told in known.items() if isinstance(error, kind)), None)
        if told is None:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = (lines or [type(error).__name__])[0].rstrip(".")
            told = reason, "Check the network, and log in with `hf auth login` or HF_TOKEN."
        raise UsageError(
            f"The Hub does not give access to {repository}: {told[0]}.", told[1]
        ) from error
