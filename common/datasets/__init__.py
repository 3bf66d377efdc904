"""Stored episodes in several formats, read and written as departure-aligned records.

Each format is one module with a reader and a writer, see `dataset.Dataset` and `dataset.Writer`. `formats.py` lists
them and finds the format of a path from its content.
"""

from common.datasets.dataset import Dataset, Writer
from common.datasets.formats import open_dataset

__all__ = ["Dataset", "Writer", "open_dataset"]
