"""Golden files of V2's losses, and of what the losses are made with."""

import torch

import dreamer
from common.agent.behavior import Behavior
from common.agent.heads import Head
from common.config import parts
from common.foreign import danijar_names as names
from common.foreign.danijar_v2_settings import actor_flags, kl_block
from common.nn.nets import Style
from tests.parity.common import close_grads_of, close_input_grads, count, leaf, load, swap
from tests.parity.shared import HALF_LOG_2PI, behave, entropy_noise, plain_gaussian


def kl_loss(case, latent, post, prior):
    """Our KL losses, scaled and added up."""
    kl = parts.build("kl", kl_block(case))
    return sum(kl.scales[name] * loss.mean() for name, loss in kl(latent, post, prior).items())


def check_kl(golden):
    for name in golden.meta["cases"]:
        case = golden.case(name)
        kind = case["kind"]
        if kind == "discrete":
            post, prior = leaf(golden["in/discrete/post"]), leaf(golden["in/discrete/prior"])
            latent = parts.build("latent", {"use": "Categorical", "stoch": post.shape[-2], "classes": post.shape[-1]})
            params, leaves = (post.flatten(-2), prior.flatten(-2)), {"grad_post/logit": post, "grad_prior/logit": prior}
        else:
            keys = [f"{which}/{stat}" for which in ("post", "prior") for stat in ("mean", "std")]
            leaves = {f"grad_{key}": leaf(golden[f"in/gauss/{key}"]) for key in keys}
            values = list(leaves.values())
            params, latent = (torch.cat(values[:2], -1), torch.cat(values[2:], -1)), plain_gaussian(values[0].shape[-1])
        loss = kl_loss(case, latent, *params)
        golden.close(f"{name}/loss", loss)
        golden.close(f"{name}/value", latent.kl(*(params[::-1] if case["forward"] else params)))
        close_input_grads(golden, name, loss, leaves)


def check_lambda_return(golden):
    for name in golden.meta["cases"]:
        case = golden.case(name)
        inputs = {key: leaf(golden[f"in/{key}"]) for key in ("reward", "value", "pcont", "bootstrap")}
        if case["pcont"] != "array":
            inputs["pcont"] = torch.full_like(inputs["reward"], case["pcont"])
        if case["bootstrap"] is None:
            inputs["bootstrap"] = torch.zeros_like(inputs["bootstrap"])
        reward, value, con = (inputs[key] for key in ("reward", "value", "pcont"))
        last = inputs["bootstrap"][None]
        series = [swap(torch.cat([x, last if x is value else torch.zeros_like(last)])) for x in (reward, value, con)]
        part = parts.build("returns", {"use": "ArrivalReturns", "lam": case["lambda_"], "start": True})
        ret = part(*series, 1.0).ret
        leaves = {key: x for key, x in inputs.items() if x.requires_grad}
        flip = (lambda x: x) if case["axis"] else swap
        golden.close(f"{name}/out", flip(ret))
        loss = (flip(ret) * golden.input(f"{name}/weight")).sum()
        close_returns_grads(golden, f"{name}/grad", loss, leaves, case["axis"])


def close_returns_grads(golden, prefix, loss, leaves, axis):
    grads = torch.autograd.grad(loss, list(leaves.values()))
    for (key, x), grad in zip(leaves.items(), grads, strict=True):
        golden.close(f"{prefix}/{key}", swap(grad) if axis and x.ndim > 1 else grad)


def check_slow_target(golden):
    for name in golden.meta["cases"]:
        case = golden.case(name)
        kernel, start = golden[f"{name}/in/target0/dense0/kernel"], golden.names(f"{name}/in/target0")
        sizes = {"layers": count(start, "dense"), "units": kernel.shape[1]}
        critic = Head(kernel.shape[0], parts.build("critic", {"use": "UnitNormal"}), Style(), **sizes)
        options = {"every": case["slow_target_update"], "fraction": case["slow_target_fraction"]}
        slow = parts.build("slow", {"use": "TargetCritic", **options})
        slow.setup(critic)
        load(golden, f"{name}/in/target0", names.v2_head(slow.slow.net))
        for i in range(case["steps"]):
            load(golden, f"{name}/in/critic{i}", names.v2_head(critic.net))
            slow.update(critic)
            for key, slot in names.v2_head(slow.slow.net).items():
                golden.close(f"{name}/out/target{i}/{key}", slot.arranged())


def check_streamnorm(golden):
    for name in golden.meta["cases"]:
        norm = parts.build("reward_norm", {"use": "StreamNorm"} | golden.case(name))
        for i in range(count(golden.groups("in"), "x")):
            x = golden[f"in/x{i}"]
            out = norm(x)
            golden.close(f"{name}/out{i}", out)
            golden.close(f"{name}/mag{i}", norm.mag)
            golden.close(f"{name}/metrics{i}/normed_mean", out.mean())
            golden.close(f"{name}/metrics{i}/normed_std", out.std(unbiased=False))
            for stat in ("mean", "std"):
                golden.skip(f"{name}/metrics{i}/{stat}", "a statistic of the input, which we do not log")


def check_actor_critic(golden):
    for name in golden.meta["cases"]:
        case = golden.case(name)
        discrete = case["dist"] == "onehot"
        feat, action = (leaf(golden[f"in/{key}"]) for key in ("feat", "action_onehot" if discrete else "action_cont"))
        flags = actor_flags(case, case["actor_grad"]) | {
            "mlp.*.layers": case["layers"],
            "mlp.*.units": case["units"],
            "net.act": case["act"],
            "net.norm": case["norm"],
            "returns.lam": case["discount_lambda"],
            "returns.first": "pred",
        }
        width = action.shape[-1]
        behavior = Behavior(feat.shape[-1], width, [width] if discrete else [], dreamer.resolve("v2", flags=flags))
        load(golden, f"{name}/param/actor", names.v2_actor(behavior.actor))
        load(golden, f"{name}/param/critic", names.v2_head(behavior.critic.net))
        load(golden, f"{name}/param/target_critic", names.v2_head(behavior.slow.slow.net))
        actor_critic_case(golden, name, behavior, feat, action)


def actor_critic_case(golden, name, behavior, feat, action):
    inputs = {"feat": feat, "reward": leaf(golden["in/reward"]), "discount": leaf(golden["in/discount"])}
    entropy = entropy_noise(golden.get(f"{name}/in/entropy_eps"))
    series = (swap(x) for x in inputs.values())
    losses, targets, value, stats = behave(behavior, *series, swap(action)[:, 1:], entropy)
    golden.compare(f"{name} weight", swap(targets.critic_weight), golden["in/weight"][:-1], golden.tol)
    golden.close(f"{name}/out/target", swap(targets.ret))
    golden.close(f"{name}/out/actor_loss", losses["actor"].mean())
    constant = HALF_LOG_2PI * targets.critic_weight.mean()  # our loss leaves it out
    golden.close(f"{name}/out/critic_loss", losses["critic"].mean() + constant)
    golden.close(f"{name}/out/actor_ent_mean", stats["train/entropy"])
    golden.close(f"{name}/out/critic_mean", behavior.critic.pred(feat[:-1]).mean())
    golden.close(f"{name}/out/critic_slow_mean", value.mean())
    close_grads_of(golden, f"{name}/grad/actor", names.v2_actor(behavior.actor), losses["actor"].mean())
    close_grads_of(golden, f"{name}/grad/critic", names.v2_head(behavior.critic.net), losses["critic"].mean())
    inputs["action"] = action
    close_input_grads(golden, f"{name}/grad/actor_loss_wrt", losses["actor"].mean(), inputs)
