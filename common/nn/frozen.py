"""Gradients that pass through a module without reaching it."""

import contextlib


@contextlib.contextmanager
def frozen(module):
    """Inside, graphs end before the parameters of a module: gradients pass through it without reaching them."""
    params = [p for p in module.parameters() if p.requires_grad]
    for p in params:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in params:
            p.requires_grad_(True)
