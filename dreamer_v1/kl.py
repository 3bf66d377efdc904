"""KL loss of V1: between posterior and prior, without stop-gradients."""

from collections.abc import Callable

from torch import Tensor

from common.agent.interfaces import Latent, Losses
from common.errors import check_choice
from common.nn import ranks


def free_nats(free: float, where: str) -> Callable[[Tensor], Tensor]:
    """Return the function max(KL, free) of a KL (B, T), where KL is the "mean" over the batch or each "element"."""
    check_choice("kl.where", where, ("mean", "element"))
    if where == "mean":
        return lambda kl: ranks.current().mean(kl).clamp(min=free).expand(kl.shape)
    return lambda kl: kl.clamp(min=free)


def divergence(forward: bool) -> Callable[[Latent, Tensor, Tensor], Tensor]:
    """Return the function KL(post || prior) of a latent and two parameters; `forward` swaps them (an option of V2)."""
    if forward:
        return lambda latent, post, prior: latent.kl(prior, post)
    return lambda latent, post, prior: latent.kl(post, prior)


class PlainKL:
    """`kl` part: scale * max(KL(post || prior), free), one loss that trains posterior and prior alike.

    Source: V1 `Dreamer._train`; V2 `kl_loss` with balance 0.5 (free nats on each element).
    """

    def __init__(self, *, scale: float = 1.0, free: float = 3.0, where: str = "mean", forward: bool = False):
        self.scales = {"kl": scale}
        self.kl, self.floor = divergence(forward), free_nats(free, where)

    def __call__(self, latent: Latent, post: Tensor, prior: Tensor) -> Losses:
        """Parameters (B, T, P) each -> {"kl": (B, T)}, unscaled."""
        return {"kl": self.floor(self.kl(latent, post, prior))}
