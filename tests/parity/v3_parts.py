"""Golden files of single parts of V3: two-hot outputs, distributions, normalisers, slow critic, optimiser."""

import torch

from common.agent.behavior import Actor
from common.config import parts
from common.foreign import danijar_v3_names as names
from common.nn.distributions import normal_entropy, normal_log_prob
from common.nn.nets import Style, symexp, symlog
from dreamer_v3.returns import quantiles
from tests.parity.common import close_grads_of, close_input_grads, count, leaf, load

#: Tolerances of the file format: forward values, gradients, optimiser.
FORWARD, GRAD, OPTIM = 1e-5, 1e-4, 5e-5


def require(cfg, **wanted):
    """Settings that our parts do not have. A file with others cannot be checked, and must not pass."""
    differing = {key: cfg[key] for key, value in wanted.items() if cfg.get(key, value) != value}
    assert not differing, f"settings without a counterpart: {differing}"


def check_twohot(golden):
    golden.close("out/symlog", symlog(golden["in/x"]))
    golden.close("out/symexp", symexp(golden["in/y"]))
    require(golden.meta, lo=-20, hi=20)
    dist = parts.build("reward", {"use": "SymexpTwohot", "bins": golden.meta["bins"]})
    close_bins(golden, "out/bins", dist)
    target, logits = golden["in/target"], leaf(golden["in/logits"])
    own = dense_twohot(dist, target)
    golden.compare("two-hot with our bins", own, golden.arrays["out/twohot"], 2e-5, absolute=True)
    dist.bins.copy_(golden.expect("out/bins"))
    golden.close("out/twohot", dense_twohot(dist, target))
    loss = dist.loss(logits, target)
    golden.close("out/loss", loss)
    close_input_grads(golden, "out", loss.sum(), {"grad_logits": logits}, GRAD)
    got, want, scale = dist.pred(logits).detach(), golden.expect("out/pred"), golden.expect("out/pred_abs_scale")
    golden.compare("out/pred over its scale", got / scale, want / scale, 1e-6, absolute=True)
    golden.compare("out/pred where it is 0", got[want == 0], want[want == 0], 0.0)


def close_bins(golden, name, dist):
    """Bins are compared relative to each one; the middle one is exactly 0."""
    want = golden.expect(name)
    scale = want.abs().clamp(min=1e-30)
    golden.compare(name, dist.bins / scale, want / scale, FORWARD, absolute=True)


def dense_twohot(dist, target):
    """Indices and weight of the upper bin -> weights of all bins (..., bins)."""
    below, above, weight = dist.two_hot(target)
    hot = lambda index: torch.nn.functional.one_hot(index, len(dist.bins)) * 1.0
    return (1 - weight)[..., None] * hot(below) + weight[..., None] * hot(above)


def categorical(stoch, cfg):
    groups, classes = stoch
    return parts.build("latent", {"use": "Categorical", "stoch": groups, "classes": classes, "unimix": cfg["unimix"]})


def check_categorical(golden):
    post, prior = leaf(golden["in/post_logits"]), leaf(golden["in/prior_logits"])
    latent, single = categorical(post.shape[-2:], golden.meta), categorical((1, post.shape[-1]), golden.meta)
    flat_post, flat_prior = post.flatten(-2), prior.flatten(-2)
    golden.close("out/unimix_logits", latent.logits(flat_post))
    golden.close("out/unimix_probs", latent.logits(flat_post).exp())
    for suffix, part, lhs, rhs in (("each", single, post, prior), ("sum", latent, flat_post, flat_prior)):
        golden.close(f"out/entropy_{suffix}", part.entropy(lhs))
        golden.close(f"out/kl_{suffix}", part.kl(lhs, rhs))
    policy = parts.build("policy_disc", {"use": "OneHot", "unimix": golden.meta["unimix"]}, [post.shape[-1]])
    golden.close("out/logp_onehot_each", policy.log_prob(post, golden["in/onehot"]))
    losses = parts.build("kl", {"use": "BalancedKL", "free": golden.meta["free_nats"]})(latent, flat_post, flat_prior)
    for name, loss in losses.items():
        golden.close(f"out/{name}", loss)
        inputs = {f"grad_{name}_post": post, f"grad_{name}_prior": prior}
        close_input_grads(golden, "out", loss.mean(), inputs, GRAD)
    sample = latent.sample(flat_post, torch.zeros(post.shape)).unflatten(-1, latent.shape)
    golden.close("out/mode_onehot", latent.mode(flat_post).unflatten(-1, latent.shape))
    golden.compare("sample without noise", sample, golden.arrays["out/mode_onehot"], 1e-6)
    close_input_grads(golden, "out", (sample * golden["in/w"]).sum(), {"straight_through_grad": post}, GRAD)
    check_policy(golden)


def check_policy(golden):
    """The discrete policy on given logits."""
    logits = golden["in/policy_logits"]
    dist = one_hot_policy(logits.shape[-1], golden.meta["policy_unimix"])
    golden.close("out/policy_logp", dist.log_prob(logits, actions(golden["in/policy_action"], logits.shape[-1])))
    golden.close("out/policy_entropy", dist.entropy(logits))
    golden.close("out/policy_maxent", dist.entropy_range(logits.shape[-1])[1])


def one_hot_policy(classes, unimix=0.0):
    return parts.build("policy_disc", {"use": "OneHot", "unimix": unimix}, [classes])


def actions(given, size):
    """Actions of a file as vectors: indices become one-hots, vectors stay."""
    return given if given.is_floating_point() else torch.nn.functional.one_hot(given.long(), size).float()


def bounded_normal(cfg):
    return parts.build("policy_cont", {"use": "BoundedNormal", "min_std": cfg["minstd"], "max_std": cfg["maxstd"]})


def check_bounded_normal(golden):
    x, action, dist = golden["in/x"], golden["in/action"], bounded_normal(golden.meta)
    actor = Actor(x.shape[-1], action.shape[-1], dist, Style(), layers=0, units=0, outscale=1.0)
    slots = names.policy(actor)
    load(golden, "param", slots)
    out = actor(x)
    for name, got in zip(("mean_raw", "std_raw"), out.chunk(2, -1), strict=True):
        golden.close(f"in/{name}", got)
    for name, got in zip(("mean", "std"), dist.stats(out), strict=True):
        golden.close(f"out/{name}", got)
    golden.close("out/pred", dist.mode(out))
    logp, entropy = dist.log_prob(out, action), dist.entropy(out)
    golden.close("out/logp", logp)
    golden.close("out/logp_each", normal_log_prob(*dist.stats(out), action))
    golden.close("out/entropy", entropy)
    golden.close("out/entropy_each", normal_entropy(dist.stats(out)[1]))
    for name, got in zip(("minent_per_dim", "maxent_per_dim"), dist.entropy_range(1), strict=True):
        golden.close(f"out/{name}", got)
    require(golden.meta, grad_of="sum(logp) + 0.1 * sum(entropy)")
    close_grads_of(golden, "grad", slots, logp.sum() + 0.1 * entropy.sum(), GRAD)


def normalizer(cfg):
    """The part and its state by official names."""
    shared = {"rate": cfg["rate"], "limit": cfg["limit"], "debias": cfg.get("debias", False)}
    if cfg["impl"] == "perc":
        part = parts.build(
            "advantage", {"use": "PercentileReturnNorm", "low": cfg["perclo"], "high": cfg["perchi"], **shared}
        )
        return part, lambda: {"lo": part.range[0], "hi": part.range[1], "corr": part.total}
    require(cfg, impl="meanstd")
    part = parts.build("advantage", {"use": "AdvantageNorm", **shared})
    return part, lambda: {"mean": part.moments[0], "sqrs": part.moments[1], "corr": part.total}


def check_normalizers(golden):
    """Both norms take returns or advantages; each ignores the other argument, which is nan here."""
    xs = golden["in/xs"]
    for variant, cfg in golden.meta.items():
        part, state = normalizer(cfg)
        nothing, track = torch.full_like(xs[0], torch.nan), []
        for x in xs:
            part.update(*((x, nothing) if cfg["impl"] == "perc" else (nothing, x)))
            stats = dict(zip(("offset", "scale"), part.stats(), strict=True))
            track.append({k: v.clone() for k, v in (stats | {f"state_{k}": v for k, v in state().items()}).items()})
        for name in golden.names(f"out/{variant}"):
            golden.close(f"out/{variant}/{name}", torch.stack([step[name] for step in track]))
    for name in [name for name in golden.groups("out") if name not in golden.meta]:
        rank = torch.tensor([float(name.removeprefix("perc")) / 100])
        golden.close(f"out/{name}", torch.cat([quantiles(x.flatten(), rank) for x in xs]))


def check_slow(golden):
    for variant, cfg in golden.meta.items():
        critic = torch.nn.ParameterDict(golden.tree(f"in/{variant}/slow0"))
        slow = parts.build("slow", {"use": "SlowRegularizer", "rate": cfg["rate"], "every": cfg["every"]})
        slow.setup(critic)
        sources, track = golden.tree(f"in/{variant}/source_seq"), []
        for t in range(len(next(iter(sources.values())))):
            with torch.no_grad():
                for name, source in sources.items():
                    critic[name].copy_(source[t])
            slow.update(critic)
            track.append({name: param.clone() for name, param in slow.slow.items()})
        for name in sources:
            golden.close(f"out/{variant}/slow_seq/{name}", torch.stack([step[name] for step in track]))


def check_optimizer(golden):
    """In double precision, so that parameters before and after a step hold the update exactly."""
    golden.tol = OPTIM
    for variant, cfg in golden.meta["variants"].items():
        require(cfg, momentum=True)
        params = {name: torch.nn.Parameter(value.double()) for name, value in golden.tree("in/param0").items()}
        optim, clip = laprop(cfg, golden.meta["agc_pmin"])
        optim.setup({"model": list(params.values())}, clip)
        steps = count(["grad0", *golden.groups("in")], "grad") - 1
        for i in range(1, steps + 1):
            old = {name: param.detach().clone() for name, param in params.items()}
            loss = sum((params[name] * grad).sum() for name, grad in golden.tree(f"in/grad{i}").items())
            optim.step({"x": loss}, {"x": ("model",)})
            for name, param in params.items():
                golden.close(f"out/{variant}/update{i}/{name}", param - old[name])
        results = {f"param{steps}": params.values(), "rms_nu": optim.slots["model"]["nu"]}
        for group, values in (results | {"mom_mu": optim.slots["model"]["mu"]}).items():
            for name, value in zip(params, values, strict=True):
                golden.close(f"out/{variant}/{group}/{name}", value)
    check_clip(golden)


def laprop(cfg, floor):
    rates = {"lr": {"model": cfg["lr"], "actor": cfg["lr"], "critic": cfg["lr"]}}
    keys = ("eps", "beta1", "beta2", "wd", "warmup", "schedule", "anneal")
    optim = parts.build("optim", {"use": "LaProp", **rates, **{key: cfg[key] for key in keys}})
    return optim, parts.build("clip", {"use": "AGC", "clip": cfg["agc"], "floor": floor})


def check_clip(golden):
    """Clipping alone, as the first variant that has it does it."""
    cfg = next(cfg for cfg in golden.meta["variants"].values() if cfg["agc"])
    _, clip = laprop(cfg, golden.meta["agc_pmin"])
    params, grads = golden.tree("in/param0"), golden.tree("in/grad1")
    clip({"model": list(params.values())}, {"model": list(grads.values())})
    for name in params:
        golden.close(f"out/agc_step1/{name}", grads[name])
