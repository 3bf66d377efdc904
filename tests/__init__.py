"""A package, not only a folder, so that no installed package named `tests` is taken in its place."""
