"""KL between posterior and prior without stop-gradients (V1)."""

from common.errors import check_choice


def free_nats(free, where):
    """Function of a KL (B, T) that gives no gradient below `free` nats, judged on the mean or on each element."""
    check_choice("kl.where", where, ("mean", "element"))
    if where == "mean":
        return lambda kl: kl.mean().clamp(min=free).expand(kl.shape)
    return lambda kl: kl.clamp(min=free)


def divergence(forward):
    """Function of a latent and two parameters: KL(post || prior); `forward` (an option of V2) turns it around."""
    if forward:
        return lambda latent, post, prior: latent.kl(prior, post)
    return lambda latent, post, prior: latent.kl(post, prior)


class PlainKL:
    """max(KL(post || prior), free): one loss that trains posterior and prior alike.

    Source: official V1 `Dreamer._train`; V2 `kl_loss` with balance 0.5 (free nats on each element).
    """

    def __init__(self, *, scale: float = 1.0, free: float = 3.0, where: str = "mean", forward: bool = False):
        self.scales = {"kl": scale}
        self.kl, self.floor = divergence(forward), free_nats(free, where)

    def __call__(self, latent, post, prior):
        """Parameters (B, T, P) each -> {"kl": (B, T)}, unscaled."""
        return {"kl": self.floor(self.kl(latent, post, prior))}
