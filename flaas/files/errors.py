"""Why a store of files cannot be opened."""


class FilesUnavailable(Exception):
    """One sentence that says why the server cannot start with this folder or bucket."""
