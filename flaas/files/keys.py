"""The last wall before a key becomes a path or a URL: callers have checked theirs already."""

from typing import Final

FOLDERS: Final = ("models/", "projects/", "results/", "samples/")
"""Where this server's files are."""

_FORBIDDEN_PARTS: Final = frozenset({"", ".", ".."})


def check_key(key: str) -> None:
    """Raise ValueError unless `key` is a plain relative path that names a file."""
    if "\0" in key or "\\" in key or not _FORBIDDEN_PARTS.isdisjoint(key.split("/")):
        raise ValueError(f"not a key: {key!r}")


def check_prefix(prefix: str) -> None:
    """Raise ValueError unless `prefix` begins keys; it may end inside a name, or be empty."""
    folder, slash, _ = prefix.rpartition("/")
    if slash:
        check_key(folder)


def check_folder(prefix: str) -> None:
    """Raise ValueError unless `prefix` is a folder, ending with `/`. The whole store is none."""
    if not prefix.endswith("/"):
        raise ValueError(f"not a folder: {prefix!r}")
    check_key(prefix[:-1])
