"""Published agents on the Hugging Face Hub: upload in one commit, download into the local cache (extra `hub`)."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError
from common.storage.publication import MAX_BYTES

SCHEME = "hf://"
ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


class Repository(NamedTuple):
    """A repository on the hub, and a branch, tag or commit in it; "" for the newest commit."""

    name: str
    revision: str = ""


def repository(address: str) -> Repository:
    """Return the repository of hf://USER/NAME or hf://USER/NAME@REVISION. Raises UserError if it is neither."""
    match = ADDRESS.fullmatch(address)
    if not match:
        raise UserError(f"{address!r} is not an address on the hub. Write hf://USER/NAME, such as hf://me/my-agent.")
    return Repository(match[1], match[2] or "")


def require_package() -> Any:
    """Return the package `huggingface_hub`. Raises UserError if it is missing."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            f"hf:// needs one more package: pip install huggingface_hub ({error}). Folders and .zip files need none."
        ) from error
    return huggingface_hub


def download(address: str) -> Path:
    """Return a local folder with the files of a published agent; what is in the cache is not loaded again.

    Raises UserError without the package, the network, the repository or the right to read it, or if a file is
    too large.
    """
    repo, hub = repository(address), require_package()
    with readable_errors(address):
        api = hub.HfApi()
        found = api.model_info(repo.name, revision=repo.revision or None, files_metadata=True)
        sizes = {entry.rfilename: entry.size or 0 for entry in found.siblings or ()}
        if large := [name for name in MAX_BYTES if sizes.get(name, 0) > MAX_BYTES[name]]:
            raise UserError(f"{address} is not a published agent: its {large[0]} has {sizes[large[0]]:,} bytes.")
        return Path(api.snapshot_download(repo.name, revision=found.sha, allow_patterns=list(MAX_BYTES)))


def upload(folder: Path, address: str, overwrite: bool, private: bool) -> str:
    """Upload a folder as one commit and return the page of the repository.

    overwrite: whether the repository may have files already. private: whether a new repository is.
    Raises UserError without the package, a token, the network or the right to write, or if the repository has files.
    """
    repo, hub = repository(address), require_package()
    if repo.revision:
        raise UserError(f"push writes to the main branch: give hf://{repo.name} without @{repo.revision}.")
    if not hub.get_token():
        raise UserError("The hub needs your access token: type `hf auth login`, or set the variable HF_TOKEN.")
    with readable_errors(address):
        api = hub.HfApi()
        if api.repo_exists(repo.name):
            others = [name for name in api.list_repo_files(repo.name) if name != ".gitattributes"]
            if others and not overwrite:
                raise UserError(
                    f"{address} exists and has files. Add --overwrite for a new commit, or use another name."
                )
        else:
            api.create_repo(repo.name, private=private)
        files = [hub.CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir())]
        api.create_commit(repo.name, files, commit_message=f"Publish {repo.name}")  # a folder's upload may be split
    return f"{api.endpoint}/{repo.name}"


@contextlib.contextmanager
def readable_errors(address: str) -> Iterator[None]:
    """Turn errors of the package, the hub and the network into UserErrors that name what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(f"{address} is gated: ask for access on its page, then type `hf auth login`.") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{address} does not exist, or is private. Check the name; for a private one type `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"{address} has no such branch, tag or commit. Omit the part after @ for the newest."
        ) from error
    except errors.HFValidationError as error:
        raise UserError(f"{address!r} is not a name that the hub takes: {error}") from error
    except errors.HfHubHTTPError as error:
        raise _http_error(address, error) from error
    except (ConnectionError, errors.LocalEntryNotFoundError) as error:
        raise _no_network(address, error) from error
    except Exception as error:
        if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "requests"):
            raise _no_network(address, error) from error
        raise


def _http_error(address: str, error: Any) -> UserError:
    status = getattr(error.response, "status_code", None)
    if status in (401, 403):
        return UserError(
            f"The hub refused access to {address} ({status}). Type `hf auth login` with a token that may write there."
        )
    if status == 409:
        return UserError(f"{address} was changed by another upload at the same time. Rerun the same command.")
    return UserError(f"The hub answered {status} for {address}. Nothing was published. Rerun the command later.")


def _no_network(address: str, error: Exception) -> UserError:
    return UserError(
        f"The hub cannot be reached for {address} ({type(error).__name__}: {error}). Check the network, HF_ENDPOINT "
        "and HF_HUB_OFFLINE, then rerun the command. A folder or a .zip file works without a network."
    )
