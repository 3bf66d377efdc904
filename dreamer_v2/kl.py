"""KL balancing of V2 and V3: posterior and prior move towards each other at different rates."""

from torch import Tensor

from common.agent.interfaces import Latent, Losses
from dreamer_v1.kl import divergence, free_nats


class BalancedKL:
    """`kl` part: dyn max(KL(sg(post) || prior), free) + rep max(KL(post || sg(prior)), free).

    V2 has a scale beta and a balance alpha: dyn = alpha beta, rep = (1 - alpha) beta, free nats on the mean.
    V3: dyn 1, rep 0.1, one free nat on each element. forward: swap the two sides (an option of V2).
    Source: V2 `EnsembleRSSM.kl_loss`; V3 `rssm.RSSM.loss`.
    """

    def __init__(
        self, *, dyn: float = 1.0, rep: float = 0.1, free: float = 1.0, where: str = "element", forward: bool = False
    ):
        self.scales = {"dyn": dyn, "rep": rep}
        self.kl, self.floor = divergence(forward), free_nats(free, where)

    def __call__(self, latent: Latent, post: Tensor, prior: Tensor) -> Losses:
        """Parameters (B, T, P) each -> {"dyn": (B, T), "rep": (B, T)}, unscaled."""
        return {
            "dyn": self.floor(self.kl(latent, post.detach(), prior)),
            "rep": self.floor(self.kl(latent, post, prior.detach())),
        }
