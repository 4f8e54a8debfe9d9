"""Upload archives to and download them from the Hugging Face Hub (``pip install 'grokscope[hub]'``)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grokscope.archive.exporting import MARK
from grokscope.config import require

KEEP_HOME = ("**/resume/**", "resume/**", "**/.cache/**", ".cache/**", "**/.lock", "**/.*.tmp", "**/.git/**", ".git/**")
"""Never sent: resume states, caches, locks."""


def push(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = True,
    revision: str | None = None,
    message: str | None = None,
    token: str | None = None,
) -> str:
    """Send an archive to the Hub, where only what has changed is uploaded, and return its address.

    Args:
        folder: what `export_archive` wrote.
        repo_id: ``name`` or ``user/name``; made when it does not exist.
        private: for a new repository; publishing has to be asked for.
        revision: branch to commit to; the main one if not given.
        message: of the commit.
        token: access token; the one of ``hf auth login`` if not given.

    Raises:
        ValueError: not an archive, huggingface_hub missing, a bad name, not logged in or not allowed.
        OSError: the Hub cannot be reached.
    """
    folder = Path(folder)
    readme = folder / "README.md"
    require(folder.is_dir(), f"{folder}: no such folder")
    require(
        readme.is_file() and MARK in readme.read_text(encoding="utf-8", errors="replace"),
        f"{folder} is not an exported archive (its README.md is missing); create one with: grokscope archive export",
    )
    api = _api(token)
    with _explained(repo_id, revision):
        name = str(api.create_repo(repo_id, private=private, exist_ok=True, repo_type="model").repo_id)
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True, repo_type="model")
        done = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            repo_type="model",
            revision=revision,
            commit_message=message or "Upload runs",
            ignore_patterns=list(KEEP_HOME),
        )
    return str(getattr(done, "commit_url", None) or f"https://huggingface.co/{name}")


def fetch(
    repo_id: str,
    dest: str | Path,
    revision: str | None = None,
    only: Sequence[str] | None = None,
    *,
    token: str | None = None,
) -> Path:
    """Bring an archive from the Hub into a folder; again, it brings only what has changed.

    Args:
        repo_id: ``user/name``.
        dest: folder for the archive; `grokscope.archive.import_archive` reads it.
        revision: branch, tag or commit; the main branch if not given. Write down a commit to get the same again.
        only: run ids, or patterns on paths (``*_s42/*``, ``*/results/*``); everything if not given. An import needs at
            least each run's config.json and results.
        token: access token; the one of ``hf auth login`` if not given.

    Raises:
        ValueError: huggingface_hub missing, no such repository or revision, not allowed, or nothing matches `only`.
        OSError: the Hub cannot be reached.
    """
    dest = Path(dest)
    api = _api(token)
    patterns = [_pattern(word) for word in only] if only else None
    with _explained(repo_id, revision):
        api.snapshot_download(repo_id, repo_type="model", revision=revision, local_dir=dest, allow_patterns=patterns)
    got = any(p.is_file() and ".cache" not in p.relative_to(dest).parts for p in dest.rglob("*"))
    require(got, f"{repo_id}: nothing matches {', '.join(only or ())}" if only else f"{repo_id} is empty")
    return dest


def _pattern(word: str) -> str:
    """A run's id stands for its folder; what has a slash or a wildcard is taken as it is."""
    if any(c in word for c in "*?[/"):
        return word
    return f"runs/{word}/*"


def _api(token: str | None) -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise ValueError("the Hub needs the package huggingface_hub: pip install 'grokscope[hub]'") from None
    return HfApi(token=token, library_name="grokscope")


@contextmanager
def _explained(repo_id: str, revision: str | None) -> Iterator[None]:
    """What went wrong between here and the Hub, as a message with a remedy."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise ValueError(f"{repo_id!r} is not a repository name: {error}") from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{repo_id} has no revision {revision!r}") from None
    except errors.GatedRepoError:
        raise ValueError(f"{repo_id} is gated: ask for access on its page, then log in with: hf auth login") from None
    except errors.LocalTokenNotFoundError:
        raise ValueError("not logged in to the Hub: hf auth login, or pass a token with write access") from None
    except errors.RepositoryNotFoundError:
        raise ValueError(
            f"{repo_id}: no such repository, or it is private and you are not logged in as one who may see it"
        ) from None
    except errors.HfHubHTTPError as error:
        raise _refused(repo_id, error) from None
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise OSError(_offline(error)) from None
    except Exception as error:
        if type(error).__module__.startswith(("httpx", "httpcore", "requests")):  # whichever carries its requests
            raise OSError(_offline(error)) from None
        raise


def _refused(repo_id: str, error: Any) -> ValueError | OSError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return ValueError("the Hub does not know you: hf auth login, or pass a token with write access")
    if status == 403:
        return ValueError(f"you may not write to {repo_id}: use a token with write access, or another name")
    return OSError(f"the Hub answered {status or 'with an error'}: {str(error).splitlines()[0]}")


def _offline(error: BaseException) -> str:
    return (
        f"the Hub cannot be reached ({type(error).__name__}): check the network, and that HF_HUB_OFFLINE is not set; "
        "an archive that was fetched before can be imported without it"
    )
