"""Golden files of Plan2Explore in V1: ensembles on given numbers."""

import torch

from common.agent.rssm import LatentState
from common.foreign.slots import dense, under
from tests.parity.common import close_grads_of, leaf, load
from tests.parity.p2e_shared import flat_state, input_rows, make_agent, official_rows, out_dense, rewards, target_rows


def v1_slots(agent):
    slots, rows, outs = {}, input_rows(agent), target_rows(agent)
    for m, member in enumerate(agent.explorer.ensemble.members):
        for i, layer in enumerate(member.layers):
            slots |= under(f"model{m}/dense{i}", dense(layer.linear, None if i else rows))
        slots |= under(f"model{m}/dense{len(member.layers)}", out_dense(member.out, None, outs))
    return slots


def check_v1(golden):
    for case in golden.groups():
        setting, here = golden.case(case), f"{case}/"
        agent = make_agent("v1", v1_flags(golden, here, setting), golden[f"{here}in/action"].shape[-1])
        slots = v1_slots(agent)
        load(golden, f"{here}param", slots)
        check_v1_loss(golden, here, agent, slots)
        check_v1_reward(golden, here, agent)


def v1_flags(golden, here, setting):
    kind = setting["ensemble_model_type"]
    deter = golden[f"{here}in/prior/deter"].shape[-1]
    sample = golden.get(f"{here}in/prior/sample")
    flags = {"latent.stoch": 1 if sample is None else sample.shape[-1], "rssm.deter": deter}
    flags |= {"mlp.encoder": {"layers": 1, "units": setting["target_size"]}} if kind == 1 else {}
    return flags | {
        "explore.models": setting["num_models"],
        "explore.bootstrap": setting["bootstrap"],
        "explore.inputs": "deter" if kind == 1 else "prior",
        "explore.target": {1: "embed", 2: "deter", 3: "stoch", 4: "feat"}[kind],
        "explore.layers": setting["layers"],
        "explore.units": setting["target_size"] * setting["model_width_factor"],
        "explore.scale": float(setting["ensemble_loss_scale"]),
        "explore.intr_scale": float(setting["intrinsic_reward_scale"]),
    }


def check_v1_loss(golden, here, agent, slots):
    """The prior's sample is given; the posterior's deter is the prior's."""
    deter, post = golden[f"{here}in/prior/deter"], golden.get(f"{here}in/post/sample")
    if golden.get(f"{here}in/post/deter") is not None:
        torch.testing.assert_close(golden[f"{here}in/post/deter"], deter, rtol=0, atol=0)
    prior = golden.get(f"{here}in/prior/sample")
    given = {"rows": golden.get(f"{here}in/rows"), "prior": prior}
    given = {name: x.long() if name == "rows" else x for name, x in given.items() if x is not None}
    if prior is not None:
        agent.world.rssm.latent.sample = lambda params, noise: noise
    states = LatentState(deter, torch.zeros(*deter.shape[:-1], agent.latent.size) if post is None else post)
    embed, batch = golden.get(f"{here}in/embed"), {"prev_action": golden[f"{here}in/action"]}
    batch |= {"is_first": torch.zeros(deter.shape[:2], dtype=torch.bool)}
    explorer = agent.explorer
    losses, stats = explorer.model_losses(agent.world, states, embed, batch, {"explore": given})
    for m in range(explorer.models):
        golden.close(f"{here}out/loss/model{m}", stats[f"explore/error_{m}"])
    close_grads_of(golden, f"{here}grad/loss", slots, agent.scales["ensemble"] * losses["ensemble"].mean())


def check_v1_reward(golden, here, agent):
    states, explorer = flat_state(golden, f"{here}in/imag", "sample"), agent.explorer
    feat, action = leaf(states.feat), leaf(golden[f"{here}in/imag/action"])
    with torch.no_grad():
        pred = explorer.ensemble(explorer.read_inputs(feat), explorer.read_action(action))
    golden.close(f"{here}out/imag_pred", official_rows(pred, agent))
    reward = rewards(agent, feat, action)
    golden.close(f"{here}out/reward", reward)
    assert not reward.requires_grad, "the official reward has no gradient to states or actions"


CHECKS = {"v1_disag": check_v1}
