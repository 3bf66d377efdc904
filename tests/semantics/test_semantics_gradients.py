"""Which loss moves what, and that the signs, scales and estimators of behaviour learning do their work."""

import pytest
import torch

import dreamer
from common.agent.behavior import Behavior
from common.agent.rssm import LatentState
from common.config import parts
from tests.helpers.fakes import random_batch
from tests.semantics.tools import KINDS, Bandit, gradients, load, make, nonzero

# Groups


def losses_of(agent, seed=0):
    batch = agent.to_tensors(random_batch(agent, seed=seed))
    noise = agent.noise(*batch["reward"].shape)
    losses, states, _ = agent.model_losses(batch, noise)
    return losses | agent.behavior_losses(states, batch, 0, noise)[0]


def received(agent, losses):
    """Group -> gradients that reach its update rule, unclipped, when the agent steps on `losses`."""
    seen = {}
    agent.optim.clip = lambda groups, grads: {name: torch.zeros(()) for name in grads}
    agent.optim.update_group = lambda name, grads: seen.update({name: grads})
    agent.step_now(losses)
    return seen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_each_loss_moves_its_own_groups_and_no_other(algo, kind):
    agent = make(algo, kind, kl__free=0.0, con__use="SoftContinue")
    for name in losses_of(agent):
        seen = received(agent, {name: losses_of(agent)[name]})
        want = {"actor": {"actor"}, "critic": {"critic"}, "repval": {"critic", "model"}}.get(name, {"model"})
        assert {group for group, grads in seen.items() if nonzero(grads)} == want, name


@pytest.mark.parametrize("kind", ["box", "discrete"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_one_step_is_the_sum_of_what_each_loss_asks_for(algo, kind):
    """No loss leaks into a group that another one trains, however they share graphs and passes."""
    agent = make(algo, kind)
    losses = losses_of(agent)
    params = {name: list(ps) for name, ps in agent.groups().items()}
    want = {name: [torch.zeros_like(p) for p in ps] for name, ps in params.items()}
    for name, loss in losses.items():
        for group in agent.groups_trained_by(name):
            grads = gradients(agent.scales[name] * loss.mean(), params[group])
            want[group] = [a + b for a, b in zip(want[group], grads, strict=True)]
    seen = received(agent, losses)
    assert seen.keys() == want.keys()
    for group, grads in seen.items():
        for got, expected in zip(grads, want[group], strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["box", "discrete"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_graphs_of_losses_end_at_their_groups(algo, kind):
    """Only an actor loss through the model may reach further; it is differentiated alone."""
    agent = make(algo, kind)
    for name, loss in losses_of(agent).items():
        if name == "actor" and agent.behavior.grad.through_model:
            continue
        for group, params in agent.groups().items():
            if group not in agent.groups_trained_by(name):
                assert not nonzero(gradients(loss.mean(), params)), (name, group)


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_behaviour_losses_alone_leave_the_model_as_it_is(algo):
    agent = make(algo, optim__warmup=0, **({"replay_value__grad": False} if algo == "v3" else {}))
    before = [p.clone() for p in agent.world.parameters()]
    agent.step_now({name: loss for name, loss in losses_of(agent).items() if name in ("actor", "critic", "repval")})
    assert all(torch.equal(*pair) for pair in zip(agent.world.parameters(), before, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_groups_are_disjoint_and_complete(algo, kind):
    agent = make(algo, kind, image=True)
    ids = [id(p) for params in agent.groups().values() for p in params]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in agent.parameters() if p.requires_grad}
    assert not set(ids) & {id(p) for p in agent.behavior.slow.parameters()}
    assert sum(agent.parameter_table().values()) == sum(p.numel() for p in agent.parameters() if p.requires_grad)


# KL


FREE = {"v1": 3.0, "v2": 0.0, "v3": 1.0, "v3-2023": 1.0}  # of the `defaults` blocks
#: Per-step KL of 0.2 and 3.0 -> mean loss, scaled; by free nats given.
FIXTURE = [
    ("v1", 3.0, 3.0),
    ("v1", 1.0, 1.6),
    ("v2", 0.0, 1.6),
    ("v2", 2.0, 2.0),
    ("v3", 1.0, 1.0 * 2.0 + 0.1 * 2.0),
    ("v3-2023", 1.0, 0.5 * 2.0 + 0.1 * 2.0),
]


def fixture(latent):
    """Posterior and prior parameters (1, 2, P) whose KL, summed over the latent, is 0.2 and then 3.0."""
    base = torch.zeros(1, 1, latent.params)
    if hasattr(latent, "classes") or hasattr(latent, "shape"):
        groups, classes = latent.shape
        moved = lambda x: torch.tensor([x] + [0.0] * (classes - 1)).repeat(groups)[None, None]
    else:
        moved = lambda x: torch.cat([torch.full((latent.size,), x), torch.zeros(latent.size)])[None, None]
    posts = [moved(bisect(lambda x: plain_kl(latent, moved(x), base), target)) for target in (0.2, 3.0)]
    return torch.cat(posts, 1).requires_grad_(), base.expand(1, 2, -1).clone().requires_grad_()


def bisect(function, target, low=0.0, high=50.0):
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < target else (low, middle)
    return low


def plain_kl(latent, post, prior):
    """The sum over the latent by torch.distributions."""
    d = torch.distributions
    if hasattr(latent, "shape"):
        make = lambda params: d.Categorical(logits=latent.logits(params))
    else:
        make = lambda params: d.Normal(*latent.stats(params))
    return d.kl_divergence(make(post), make(prior)).sum().item()


@pytest.mark.parametrize(("algo", "free", "want"), FIXTURE)
def test_kl_loss_of_known_divergences(algo, free, want):
    config = load(algo, (), latent__stoch=2)
    assert config["kl"]["free"] == FREE[algo]
    latent, kl = (parts.build(seam, config[seam] | extra) for seam, extra in (("latent", {}), ("kl", {"free": free})))
    post, prior = fixture(latent)
    torch.testing.assert_close(latent.kl(post, prior), torch.tensor([[0.2, 3.0]]), rtol=1e-3, atol=1e-3)
    losses = kl(latent, post, prior)
    total = sum(kl.scales[name] * loss.mean() for name, loss in losses.items())
    assert total.item() == pytest.approx(want, abs=2e-3)
    for name, loss in losses.items():
        to_post, to_prior = torch.autograd.grad(loss.mean(), [post, prior], retain_graph=True, materialize_grads=True)
        live = [free < 1.6] * 2 if config["kl"]["where"] == "mean" else [False, True]
        assert to_post[0].any(-1).tolist() == [x and name != "dyn" for x in live], name
        assert to_prior[0].any(-1).tolist() == [x and name != "rep" for x in live], name


@pytest.mark.parametrize("algo", ["v3", "v3-2023"])
def test_equal_posterior_and_prior_cost_exactly_the_free_nats(algo):
    config = load(algo)
    latent, kl = parts.build("latent", config["latent"]), parts.build("kl", config["kl"])
    params = torch.randn(2, 3, latent.params)
    assert {name: loss.unique().tolist() for name, loss in kl(latent, params, params).items()} == {
        "dyn": [1.0],
        "rep": [1.0],
    }


# Actor


@pytest.mark.parametrize("kind", ["discrete", "multi"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
@pytest.mark.parametrize("grad", ["DynamicsGradient", "Reinforce", "Mixed"])
def test_discrete_actors_learn_without_entropy(algo, kind, grad):
    agent = make(algo, kind, actor__entropy=0.0, grad_disc__use=grad)
    seen = received(agent, {"actor": losses_of(agent)["actor"]})
    assert torch.stack([g.norm() for g in seen["actor"]]).norm() > 1e-6


def bandit(algo, actions, classes, reward, con=0.9, **flags):
    """A behaviour and a world whose state is the last action."""
    torch.manual_seed(0)
    behavior = Behavior(2 + actions, actions, classes, load(algo, **{"imagination__horizon": 3} | flags))
    return behavior, Bandit(reward, con)


def replayed(actions, size=64):
    """Replayed states (size / 2, 2) of a bandit and what the losses need of the batch."""
    zeros, no = torch.zeros(size // 2, 2), torch.zeros(size // 2, 2, dtype=torch.bool)
    batch = {"reward": zeros, "is_last": no, "is_terminal": no}
    return LatentState(torch.zeros(size // 2, 2, 2), torch.zeros(size // 2, 2, actions)), batch


def practise(behavior, world, actions, updates=100, size=64):
    """Trains actor and critic, each on its own loss; returns the outputs of the actor in the replayed state."""
    modules = {"actor": behavior.actor, "critic": behavior.critic}
    optim = torch.optim.Adam([p for module in modules.values() for p in module.parameters()], 1e-2)
    states, batch = replayed(actions, size)
    for _ in range(updates):
        losses, _ = behavior.losses(world, states, batch, 0, behavior.noise(Noise, size))
        for name, module in modules.items():
            for param, grad in zip(
                module.parameters(), gradients(losses[name].mean(), list(module.parameters())), strict=True
            ):
                param.grad = grad
        optim.step()
        behavior.slow.update(behavior.critic)
    return behavior.actor(states.feat[0, 0])


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_a_bandit_in_the_latent_is_solved(algo):
    behavior, world = bandit(algo, 2, [2], lambda feat: feat[..., -1], actor__entropy=0.0)
    chances = behavior.actor.dist.logits(practise(behavior, world, 2))[0].exp()
    assert chances[1] > 0.9


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_a_continuous_target_in_the_latent_is_approached(algo):
    """Reward 1 - (a - 0.5)^2: the mean action moves from 0 towards 0.5."""
    reward = lambda feat: 1 - (feat[..., -1] - 0.5).square()
    behavior, world = bandit(algo, 1, [], reward, con=0.1, actor__entropy=0.0, **narrow(algo))
    mean = behavior.actor.dist.stats(practise(behavior, world, 1, updates=200, size=256))[0]
    assert 0.3 < (mean.tanh() if algo == "v1" else mean).item() < 0.8


def narrow(algo):
    return {"policy_cont__init_std": 0.5} if algo == "v1" else {}


class Noise:
    """A latent without randomness."""

    noise = staticmethod(lambda *shape, device=None: torch.zeros(shape[0], shape[1], 1))


#: Estimator -> options. Each divides by the range of returns.
ESTIMATORS = {
    "Reinforce": {},
    "DynamicsGradient": {},
    "DynamicsGradient with baseline": {"grad_disc__baseline": True},
    "Mixed": {"grad_disc__mix": 0.5},
}


def actor_gradient(scale, estimator, options, advantage):
    """Actor gradient where rewards and values are `scale` times as large, after the range has settled."""
    rate = {"advantage__rate": 0.5} if advantage == "PercentileReturnNorm" else {}
    behavior, world = bandit(
        "v3", 2, [2], lambda feat: scale * feat[..., -1] * (1 + feat[..., -2:-1].sum(-1)), actor__entropy=0.0,
        grad_disc__use=estimator.split()[0], advantage__use=advantage, replay_value__use="NoReplayValue",
        imagination__horizon=6, **rate, **options,
    )  # fmt: skip
    behavior.slow.target = lambda critic, feat: scale * feat[..., -1] * 0.3
    states, batch = replayed(2)
    torch.manual_seed(1)
    for _ in range(20):
        losses, _ = behavior.losses(world, states, batch, 0, behavior.noise(Noise, 64))
    grads = gradients(losses["actor"].mean(), list(behavior.actor.parameters()))
    return torch.stack([g.norm() for g in grads]).norm().item(), getattr(behavior.advantage, "range", None)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_actor_gradients_do_not_depend_on_the_scale_of_rewards(estimator):
    options = ESTIMATORS[estimator]
    small, before = actor_gradient(10.0, estimator, options, "PercentileReturnNorm")
    large, after = actor_gradient(10_000.0, estimator, options, "PercentileReturnNorm")
    assert 0.5 < large / small < 2
    assert (after[1] - after[0]) / (before[1] - before[0]) == pytest.approx(1000, rel=1e-3)
    plain = [actor_gradient(scale, estimator, options, "Unscaled")[0] for scale in (10.0, 10_000.0)]
    assert plain[1] / plain[0] == pytest.approx(1000, rel=1e-3)


def test_the_percentiles_move_with_the_first_update():
    agent = make("v3")
    assert not agent.behavior.advantage.range.any()
    agent.update(random_batch(agent))
    assert agent.behavior.advantage.range.any()


@pytest.mark.parametrize("kind", ["box", "discrete"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_entropy_is_counted_once(algo, kind):
    """The actor loss with entropy scale eta minus that without is -eta weight H, in value and in gradient."""
    eta, actions, classes = 0.37, 2, [2] if kind == "discrete" else []
    behavior, world = bandit(algo, actions, classes, lambda feat: feat[..., -1], **narrow(algo))
    states, batch = replayed(actions)
    noise = behavior.noise(Noise, 64)
    noise["entropy"] = behavior.actor.dist.noise(100, 64, targets(behavior).actor_ret.shape[1], actions)
    losses = []
    for behavior.entropy in (eta, 0.0):
        behavior.advantage.load_state_dict({k: torch.zeros_like(v) for k, v in behavior.advantage.state_dict().items()})
        losses.append(behavior.losses(world, states, batch, 0, noise)[0]["actor"])
    with torch.no_grad():
        feat = behavior.imagine(world, states.apply(behavior.start_steps), noise)[0].feat
    out = behavior.actor(feat[:, targets(behavior).actor])
    want = -eta * targets(behavior).actor_weight * entropy(algo, kind, behavior.actor.dist, out, noise["entropy"])
    torch.testing.assert_close(losses[0] - losses[1], want, rtol=1e-4, atol=1e-4)
    params = list(behavior.actor.parameters())
    got, expected = gradients((losses[0] - losses[1]).mean(), params), gradients(want.mean(), params)
    for one, two in zip(got, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6)


def targets(behavior):
    """Which states and weights the actor uses, for a constant continuation of 0.9."""
    zeros, con, world = torch.zeros(64, 4), torch.full((64, 4), 0.9), Bandit(None)
    first = behavior.returns.first_con(con[:, 0], world, torch.zeros(64, dtype=torch.bool), 0.9)
    return behavior.returns(zeros, zeros, torch.cat([first[:, None], con[:, 1:]], 1), world.outer_discount)


def entropy(algo, kind, dist, out, noise):
    """Analytic entropies by torch.distributions, where it has them."""
    d = torch.distributions
    if kind == "discrete":
        return d.Categorical(logits=dist.logits(out)[0]).entropy()
    if algo in ("v3", "v3-2023"):
        return d.Normal(*dist.stats(out)).entropy().sum(-1)
    return dist.entropy(out, noise)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_log_probabilities_are_those_at_sampling(algo, kind, monkeypatch):
    """The log-probability in the loss belongs to the state in which the action was chosen."""
    flags = {"grad_cont__use": "Reinforce", "grad_disc__use": "Reinforce"} | narrow(algo)
    agent = make(algo, kind, returns__first="one", **flags)
    behavior, dist = agent.behavior, agent.behavior.actor.dist
    drawn, used, sample = [], [], dist.sample

    def sampling(out, noise):
        action = sample(out, noise)
        drawn.append(dist.log_prob(out, action).detach())
        return action

    def estimate(norm, ret, value, logp, step):
        used.append(logp.detach())
        return logp * 0

    monkeypatch.setattr(dist, "sample", sampling)
    estimate.through_model, estimate.stop_action = False, True
    estimate.reads_logp, estimate.mix = True, 0.0
    behavior.grad = estimate
    losses_of(agent)
    drawn = torch.stack(drawn, 1)
    assert drawn.std() > 1e-3
    torch.testing.assert_close(used[0], drawn[:, : used[0].shape[1]], rtol=1e-4, atol=1e-3 if algo == "v1" else 1e-5)
