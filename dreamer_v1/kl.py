"""KL between posterior and prior without stop-gradients (V1)."""

from common.nets import check_choice


def free_nats(kl, free, where):
    """KL (B, T) that gives no gradient below `free` nats, judged on the mean or on each element."""
    if where == "mean":
        return kl.mean().clamp(min=free).expand(kl.shape)
    return kl.clamp(min=free)


class PlainKL:
    """max(KL(post || prior), free): one loss that trains posterior and prior alike.

    Source: official V1 `Dreamer._train`; V2 `kl_loss` with balance 0.5 (free nats on each element).
    """

    def __init__(self, *, scale: float = 1.0, free: float = 3.0, where: str = "mean", forward: bool = False):
        check_choice("kl.where", where, ("mean", "element"))
        self.scales = {"kl": scale}
        self.free, self.where, self.forward = free, where, forward

    def __call__(self, latent, post, prior):
        """Parameters (B, T, P) each -> {"kl": (B, T)}, unscaled."""
        kl = latent.kl(prior, post) if self.forward else latent.kl(post, prior)
        return {"kl": free_nats(kl, self.free, self.where)}
