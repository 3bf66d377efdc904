"""One thread for torch: tests run side by side on small machines."""

try:
    import torch
except ImportError:
    pass
else:
    torch.set_num_threads(1)
