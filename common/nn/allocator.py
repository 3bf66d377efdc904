"""Memory allocator settings: freed memory stays with the process instead of returning to the system.

An update needs the same large tensors as the one before. By default glibc maps each of them again and returns it
afterwards, so the system hands out every page again, filled with zeros: 35,000 pages for one update of V3 on vectors,
600,000 for one of V1 on images, which took 6 to 8 % of its time. With freed memory kept, no page is handed out again.
"""

import ctypes

import torch

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # parameters of mallopt
MMAP_THRESHOLD_BYTES = (2**30, 2**25)  # allocations up to this size are kept; older versions of glibc accept 2**25
TORCH_OUT_OF_MEMORY_TEXT = "can't allocate memory"  # in torch's error on a CPU, which has no class of its own


def keep_freed_memory() -> bool:
    """Keep freed memory in this process. Return whether the allocator supports it.

    Allocations above 1 GiB, such as the images of a large replay, still return to the system when they are freed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    return any(mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLD_BYTES) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports that the memory of the machine or of a GPU was exhausted."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or TORCH_OUT_OF_MEMORY_TEXT in str(error)
