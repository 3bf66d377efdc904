"""Memory of this process: what is freed is used again instead of being given back to the system.

An update needs the same large tensors as the one before. By default glibc maps each of them afresh and gives it back
afterwards, so that the system deals out every page again, filled with zeros: 35,000 pages for one update of V3 on
vectors, 600,000 for one of V1 on images, which took it 6 to 8 % of the time. Where freed memory stays with the process,
there are none.
"""

import ctypes

import torch

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # parameters of mallopt
TORCH_OUT_OF_MEMORY_TEXT = (
    "can't allocate memory"  # what torch says of the memory of the machine, in an error of no class of its own
)
MMAP_THRESHOLD_BYTES = (
    2**30,
    2**25,
)  # bytes up to which an allocation is kept: what is wanted, and what older versions of glibc take


def keep_freed_memory() -> bool:
    """Sets this up for the process. Returns whether the allocator is one that can do it.

    Allocations above 1 GiB, such as the images of a large replay, still come from the system and go back to it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    return any(mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLD_BYTES) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory, of the machine or of a GPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or TORCH_OUT_OF_MEMORY_TEXT in str(error)
