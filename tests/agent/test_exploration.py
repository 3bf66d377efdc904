"""Plan2Explore: what it trains, who acts when, and that an agent without it is unchanged."""

import numpy as np
import pytest
import torch

import dreamer
from common.agent.agent import Agent
from common.agent.ensemble import Ensemble
from common.config import config as configs
from common.errors import NonFiniteError, UserError
from common.nn.nets import Style
from common.storage.checkpoints import load_newest
from dreamer import load
from tests.helpers.fakes import action_space, obs_space, random_batch
from tests.helpers.saved_runs import untrained

P2E = {"explore.use": "Plan2Explore"}
each_version = pytest.mark.parametrize("algo", dreamer.ALGOS)


def build(algo, kind="box", **flags):
    """An agent with exploration; flags with __ for dots."""
    flags = P2E | {key.replace("__", "."): value for key, value in flags.items()}
    torch.manual_seed(0)
    return Agent(obs_space(image=False), action_space(kind), dreamer.resolve(algo, ["debug"], flags))


def update(agent, seed=0, **changes):
    torch.manual_seed(seed)
    return agent.update(random_batch(agent, seed=seed) | changes)[0]


@each_version
@pytest.mark.parametrize("kind", ["box", "discrete"])
def test_the_task_learns_bit_for_bit_as_without_exploration(algo, kind):
    """Initial weights, losses and weights after an update; the clip norm that V1's ensemble shares is not reached."""
    plain, exploring = build(algo, kind, explore__use="NoNoise", optim__warmup=0), build(algo, kind, optim__warmup=0)
    for name, value in plain.state_dict().items():
        if torch.is_tensor(value):
            assert torch.equal(exploring.state_dict()[name], value), name
    before, after = update(plain), update(exploring)
    assert {name: after[name].item() for name in before if not name.startswith("grad/")} == {
        name: value.item() for name, value in before.items() if not name.startswith("grad/")
    }
    for name, value in plain.named_parameters():
        assert torch.equal(exploring.get_parameter(name), value), name


@each_version
@pytest.mark.parametrize("use", ["NoNoise", "ActionNoise"])
def test_noise_alone_adds_nothing_to_the_state(algo, use):
    assert not [name for name in build(algo, explore__use=use).state_dict() if name.startswith("explore")]


@each_version
@pytest.mark.parametrize("extr", [0.0, 0.5])
def test_each_loss_reaches_its_groups_and_no_other(algo, extr):
    agent = build(algo, explore__extr_scale=extr)
    for seed in range(3):  # outputs that start at zero let no gradient through
        update(agent, seed)
    batch = agent.to_tensors(random_batch(agent))
    noise = agent.noise(*batch["reward"].shape)
    losses, states, _ = agent.model_losses(batch, noise)
    losses |= agent.behavior_losses(states.detach(), batch, 0, noise)[0]
    assert losses.keys() <= agent.scales.keys()
    explorer = agent.explorer
    modules = {"task": [agent.behavior], "world": [agent.world], "ensemble": [explorer.ensemble]}
    modules |= {"explore_actor": [explorer.behavior.actor]}
    modules |= {f"explore_{name}": [part.critic] for name, part in explorer.behavior.critics().items()}
    wanted = {name: {name} for name in ("ensemble", "explore_actor", "explore_critic", "explore_critic_extr")}
    for name in losses.keys() & wanted.keys():
        reached = {key for key, found in modules.items() if moved(losses[name], found)}
        assert reached == wanted[name], name


def moved(loss, modules):
    params = [p for module in modules for p in module.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss.sum(), params, retain_graph=True, materialize_grads=True)
    return any(bool(g.any()) for g in grads)


@each_version
def test_the_ensemble_has_the_optimiser_of_its_version(algo):
    groups = build(algo).groups()
    assert ("ensemble" in groups) == (algo in ("v2", "v3-2023"))
    agent = build(algo)
    own = {id(p) for p in agent.explorer.ensemble.parameters()}
    assert own <= {id(p) for p in agent.groups()["ensemble" if algo in ("v2", "v3-2023") else "model"]}
    params = [id(p) for group in groups.values() for p in group]
    assert len(params) == len(set(params))


@each_version
def test_members_start_differently(algo):
    one, *others = (torch.cat([p.flatten() for p in m.parameters()]) for m in build(algo).explorer.ensemble.members)
    assert all(not torch.equal(one, other) for other in others)


def test_agreement_of_all_members_gives_finite_gradients():
    ensemble = Ensemble(3, 2, 4, Style(), models=3, net="mlp", layers=1, units=8, factor=1.0, average=False,
                        spread="std", log=True)  # fmt: skip
    for member in ensemble.members[1:]:
        member.load_state_dict(ensemble.members[0].state_dict())
    x, action = torch.randn(5, 3, requires_grad=True), torch.randn(5, 2, requires_grad=True)
    disagreement = ensemble.disagreement(x, action)
    assert bool(disagreement.isfinite().all())
    assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(disagreement.sum(), [x, action]))


def test_a_member_can_fit_targets_beyond_one():
    torch.manual_seed(0)
    ensemble = Ensemble(3, 1, 2, Style(), models=2, net="mlp", layers=1, units=16, factor=0.5, average=False,
                        spread="std", log=False)  # fmt: skip
    x, action, target = torch.randn(4, 5, 3), torch.zeros(4, 5, 1), torch.full((4, 5, 2), 3.0)
    optim = torch.optim.Adam(ensemble.parameters(), 1e-2)
    for _ in range(200):
        optim.zero_grad()
        ensemble.loss(x, action, target, None).loss.mean().backward()
        optim.step()
    assert (ensemble(x, action) - target).abs().mean().item() < 0.1


@each_version
def test_the_ensemble_learns_the_targets_of_a_batch(algo):
    agent = build(algo, optim__warmup=0, explore__lr=1e-2, optim__lr__model=1e-2)
    found = [update(agent, 1)["explore/explained"].item() for _ in range(60)]
    assert np.mean(found[-5:]) > np.mean(found[:5]) + 0.1


@each_version
def test_disagreement_falls_on_a_frozen_buffer_as_the_ensemble_learns(algo):
    agent = build(algo)
    explorer, batch = agent.explorer, agent.to_tensors(random_batch(agent))
    with torch.no_grad():
        embed, states, _ = agent.world.infer(batch, agent.noise(3, 7)["post"])
        x, action, target, _ = explorer.training_pairs(agent.world, states, embed, batch, None)
    found, optim = [], torch.optim.Adam(explorer.ensemble.parameters(), 3e-3)
    for _ in range(100):
        found.append(explorer.ensemble.disagreement(x, action).mean().item())
        rows = explorer.noise(3, 7)["explore"].get("rows")
        optim.zero_grad()
        explorer.ensemble.loss(x, action, target, rows).loss.mean().backward()
        optim.step()
    assert found[-1] < 0.5 * max(found[:10])


@pytest.mark.parametrize("shuffled", [False, True])
def test_disagreement_vanishes_only_where_the_next_state_was_learned(shuffled):
    """A table of next states, of which the ensemble knows one half; with shuffled targets it learns nothing."""
    torch.manual_seed(0)
    ensemble = Ensemble(8, 4, 8, Style(), models=4, net="mlp", layers=2, units=32, factor=1.0, average=False,
                        spread="std", log=False)  # fmt: skip
    state, action = torch.eye(8)[:, None].expand(8, 4, 8), torch.eye(4).expand(8, 4, 4)
    following, known = torch.eye(8)[torch.randint(8, (8, 4))], torch.rand(8, 4) < 0.5
    optim = torch.optim.Adam(ensemble.parameters(), 5e-3)
    for _ in range(200):
        target = following[known]
        target = target[torch.randperm(len(target))] if shuffled else target
        optim.zero_grad()
        ensemble.loss(state[known][None], action[known][None], target[None], None).loss.mean().backward()
        optim.step()
    found = ensemble.disagreement(state, action).detach()
    share = (found[known].mean() / found[~known].mean()).item()
    assert share > 0.5 if shuffled else share < 0.1


@each_version
def test_exploration_acts_in_training_until_its_frame_and_never_in_evaluation(algo):
    agent = build(algo, env__repeat=2, explore__until=2000, explore__amount=0.0)
    task, exploring = agent.behavior.actor, agent.explorer.explorer_acting.actor
    assert task is not exploring
    who = lambda mode, step: agent.explorer.acting(agent.acting, mode, step).actor
    assert who("train", 999) is exploring
    assert who("train", 1000) is task  # agent steps; two frames each
    assert who("eval", 0) is task
    assert build(algo).explorer.acting(agent.acting, "train", 10**9).actor is not agent.acting.actor


@each_version
def test_actions_come_from_the_actor_that_acts(algo):
    agent = build(algo, "discrete", explore__amount=0.0)
    for actor, choice in ((agent.behavior.actor, 0), (agent.explorer.behavior.actor, 2)):
        for out in actor.outs:
            torch.nn.init.zeros_(out.weight)
            with torch.no_grad():
                out.bias.copy_(1e4 * torch.eye(3)[choice])
    record = {key: value[:, 0] for key, value in random_batch(agent).items()} | {"is_last": np.zeros(3, bool)}
    chosen = {mode: agent.act(record, agent.initial(3), mode)[0] for mode in ("train", "eval")}
    assert np.mean(chosen["train"] == 2) > 0.6  # V3 mixes uniform actions in
    assert np.mean(chosen["eval"] == 0) > 0.6


def test_a_loaded_policy_is_that_of_the_task(tmp_path):
    config = untrained(tmp_path / "run", "v2", "dummy_point_6", explore__use="Plan2Explore")
    policy = load(tmp_path / "run", mode="mode")
    weights = load_newest(tmp_path / "run")["agent"]
    for name, value in policy.acting.actor.state_dict().items():
        assert torch.equal(value, weights[f"behavior.actor.{name}"])
        assert not torch.equal(value, weights[f"explore.behavior.actor.{name}"]) or not value.any()
    action, _ = policy({"vector": np.zeros(2, np.float32)})
    assert action.shape == (1,)
    assert config["explore"]["use"] == "Plan2Explore"


@each_version
def test_an_update_that_is_not_finite_changes_nothing(algo):
    agent = build(algo, explore__momentum=0.9)
    update(agent)
    before = {name: value.clone() for name, value in agent.state_dict().items() if torch.is_tensor(value)}
    with pytest.raises(NonFiniteError):
        update(agent, 1, state=np.full((3, 7, 5), np.nan, np.float32))
    for name, value in before.items():
        assert torch.equal(agent.state_dict()[name], value), name


@each_version
def test_a_restored_agent_computes_the_same_numbers(algo):
    one, two = (
        build(algo, explore__momentum=0.9, explore__extr_scale=0.5),
        build(algo, explore__momentum=0.9, explore__extr_scale=0.5),
    )
    for seed in range(3):
        update(one, seed)
    two.load_state_dict(one.state_dict())
    for seed in range(3):
        assert {k: v.item() for k, v in update(one, seed).items()} == {
            k: v.item() for k, v in update(two, seed).items()
        }


def test_slow_critics_and_normalisers_of_both_rewards_are_stored():
    state = build("v3").state_dict()
    for part in ("behavior", "behavior.extrinsic"):
        assert f"explore.{part}.advantage.range" in state
        assert any(name.startswith(f"explore.{part}.slow.slow.") for name in state)
    assert {"explore.behavior.intr_norm.mag", "explore.behavior.extr_norm.mag"} <= state.keys()


@each_version
def test_recipe_a_with_the_exploration_of_b_is_that_of_b(algo):
    target = dreamer.resolve(algo, ["debug"], P2E)
    for other in dreamer.ALGOS:
        assert dreamer.resolve(other, ["debug"], configs.flatten(target)) == target


@pytest.mark.parametrize(("algo", "usual", "small"), [("v2", 3e-4, 1e-3), ("v3-2023", 1e-4, 5e-4)])
@pytest.mark.parametrize("blocks", [["cpu", "zero_shot"], ["zero_shot", "cpu"]])
def test_the_ensemble_learns_as_fast_as_the_model_in_small_runs(algo, usual, small, blocks):
    assert dreamer.resolve(algo, ["zero_shot"])["explore"]["lr"] == usual
    config = dreamer.resolve(algo, blocks)
    assert config["explore"]["lr"] == config["optim"]["lr"]["model"] == small
    assert dreamer.resolve(algo, ["cpu"], P2E | {"explore.lr": 7e-4})["explore"]["lr"] == 7e-4
    assert "lr" not in dreamer.resolve(algo, ["cpu"])["explore"]


def test_each_version_has_its_own_form():
    forms = [dreamer.resolve(algo, [], P2E)["explore"] for algo in dreamer.ALGOS]
    assert [form["models"] for form in forms] == [5, 10, 8, 8]
    assert [form["target"] for form in forms] == ["embed", "stoch", "stoch", "stoch"]
    assert len({str(form) for form in forms}) == 4


@each_version
@pytest.mark.parametrize(
    "flags",
    [{"target": "embed"}, {"target": "feat"}, {"target": "deter"}, {"inputs": "prior"}, {"bootstrap": True},
     {"action": "none"}, {"action": "arrival", "offset": 2}, {"net": "action_layers", "layers": 1, "units": 7},
     {"mix": "reward", "extr_scale": 0.5}, {"mix": "advantage", "extr_scale": 0.5}, {"log": True}, {"spread": "var"},
     {"mask_first": True, "offset": 1}, {"reward_grad": True}],
    ids=lambda flags: "-".join(map(str, flags)),
)  # fmt: skip
def test_every_option_runs_in_every_version(algo, flags):
    metrics = update(build(algo, **{f"explore__{key}": value for key, value in flags.items()}))
    assert all(bool(value.isfinite()) for value in metrics.values())


def test_pairs_across_the_start_of_an_episode_do_not_count():
    agent = build("v3")
    batch = agent.to_tensors(random_batch(agent))
    noise = agent.noise(3, 7)
    embed, states, _ = agent.world.infer(batch, noise["post"])
    counts = agent.explorer.training_pairs(agent.world, states, embed, batch, None)[-1]
    assert torch.equal(counts, (~batch["is_first"][:, 1:]).float())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"explore.intr_scale": 0.0}, r"explore.intr_scale must be above 0.*--explore.use NoNoise"),
        ({"explore.offset": 10}, r"explore.offset 10 needs batch_length > 10, got 10"),
        ({"explore.offset": 0}, r"set --explore.offset 1, or --explore.action arrival"),
        ({"explore.until": 50, "run.prefill": 100}, r"set --explore.until above 100, or 0 for the whole run"),
        ({"explore.models": 1}, r"explore.models must be at least 2, got 1"),
        ({"explore.target": "image"}, r"explore.target must be one of stoch, deter, feat, embed"),
    ],
)
def test_options_that_make_no_sense_together_say_what_to_type(flags, message):
    with pytest.raises(UserError, match=message):
        build("v3", **{key.replace(".", "__"): value for key, value in flags.items()})


def test_options_of_exploration_without_it_name_it():
    with pytest.raises(
        UserError, match=r"explore.until is an option of Plan2Explore, .* Add --explore.use Plan2Explore\."
    ):
        dreamer.resolve("v3", [], {"explore.until": 5000})
