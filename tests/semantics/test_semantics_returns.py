"""Lambda-returns of both conventions equal sums written out; their weights; how many states train actor and critic."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import dreamer
from common.agent.heads import SoftContinue
from common.config import parts
from common.nn.nets import Style
from dreamer_v1.returns import ArrivalReturns
from dreamer_v3.heads import BinaryContinue
from dreamer_v3.returns import DepartureReturns
from tests.helpers.fakes import random_batch
from tests.semantics.tools import load, make

H, GAMMA = 5, 0.9
CASES = {
    "v1": lambda lam, first="one": ArrivalReturns(lam=lam, start=False, first=first),
    "v2": lambda lam, first="one": ArrivalReturns(lam=lam, start=True, first=first),
    "v3": lambda lam, first="one": DepartureReturns(lam=lam, first=first),
}
LAMBDAS = st.sampled_from([0.0, 0.95, 1.0])


def rows(low, high):
    return arrays(np.float64, (2, H + 1), elements=st.floats(low, high, width=16))


def written_out(reward, con, value, lam, t, shift):
    """Lambda-return of state t of one sequence: every n-step return with its weight. shift: 0 arrival, 1 departure."""
    total, horizon = 0.0, len(value) - 1
    for n in range(1, horizon - t + 1):
        weight = lam ** (n - 1) * (1 if n == horizon - t else 1 - lam)
        rewards = sum(np.prod(con[t + shift : t + shift + k]) * reward[t + shift + k] for k in range(n))
        total += weight * (rewards + np.prod(con[t + shift : t + shift + n]) * value[t + n])
    return total


def tensors(*xs):
    return [torch.as_tensor(x) for x in xs]


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=50, deadline=None)
@given(reward=rows(-9, 9), value=rows(-9, 9), con=rows(0, 1), lam=LAMBDAS)
def test_returns_equal_the_sum_over_all_lookaheads(case, reward, value, con, lam):
    targets = CASES[case](lam)(*tensors(reward, value, con), 1.0)
    shift = int(case == "v3")
    want = [[written_out(r, c, v, lam, t, shift) for t in range(H)] for r, c, v in zip(reward, con, value, strict=True)]
    np.testing.assert_allclose(targets.ret, want, atol=1e-9)
    np.testing.assert_allclose(targets.critic_ret, targets.ret[:, 1 if case == "v1" else 0 :])
    np.testing.assert_allclose(targets.actor_ret, targets.ret[:, 0 if case == "v3" else 1 :])


@pytest.mark.parametrize("case", CASES)
def test_without_values_and_discount_returns_are_sums_of_rewards(case):
    reward = torch.arange(1.0, H + 2)[None]
    ret = CASES[case](1.0)(reward, torch.zeros(1, H + 1), torch.ones(1, H + 1), 1.0).ret
    total = lambda lo, hi: sum(range(lo, hi + 1))
    if case == "v3":  # from the next reward on, the last included
        assert ret[0].tolist() == [total(t + 2, H + 1) for t in range(H)]
    else:  # from the reward of the state itself on; that of the last state would be in its value
        assert ret[0].tolist() == [total(t + 1, H) for t in range(H)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lam", [0.0, 0.95, 1.0])
def test_constant_values_and_no_rewards_give_the_discounted_constant(case, lam):
    con, value = torch.full((1, H + 1), GAMMA), torch.full((1, H + 1), 7.0)
    ret = CASES[case](lam)(torch.zeros(1, H + 1), value, con, 1.0).ret[0]
    assert ret[-1] == pytest.approx(GAMMA * 7)
    for t in range(H - 1):
        assert ret[t] == pytest.approx(GAMMA * ((1 - lam) * 7 + lam * ret[t + 1]))


#: Whether state k itself still counts where its continuation is 0: for the critic, for the actor.
END_COUNTS = {"v1": (True, False), "v2": (True, True), "v3": (False, False)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", range(1, H))
def test_after_an_end_nothing_counts(case, k):
    """Continuation 0 at state k: no weight afterwards, and the return there is the reward of getting there alone."""
    torch.manual_seed(0)
    reward, value, con = torch.randn(1, H + 1), torch.randn(1, H + 1), torch.full((1, H + 1), GAMMA)
    con[:, k] = 0
    targets = CASES[case](0.95)(reward, value, con, 1.0)
    at = k - 1 if case == "v3" else k  # the departure return before the end, the arrival return in it
    assert targets.ret[0, at] == pytest.approx(reward[0, k].item())
    pairs = (targets.critic, targets.critic_weight), (targets.actor, targets.actor_weight)
    for (states, weight), counts in zip(pairs, END_COUNTS[case], strict=True):
        number = torch.arange(H + 1)[states]
        assert weight[0].bool().equal(number < k + counts)


@pytest.mark.parametrize("case", CASES)
def test_weights_are_powers_of_the_discount(case):
    con = torch.full((1, H + 1), GAMMA)
    targets = CASES[case](0.95)(torch.zeros(1, H + 1), torch.zeros(1, H + 1), con, 1.0)
    first = int(case == "v3")  # V3's weight of the start is its own continuation, the others' is 1
    for weight in (targets.critic_weight, targets.actor_weight):
        power = torch.arange(first, first + weight.shape[1])
        torch.testing.assert_close(weight[0], GAMMA**power)


def head(cls):
    return cls(3, Style(), GAMMA, layers=0, units=0)


@pytest.mark.parametrize("cls", [SoftContinue, BinaryContinue])
def test_terminal_starts_have_no_weight(cls):
    con, terminal = head(cls), torch.tensor([True, False])
    departure, arrival = DepartureReturns(first="true"), ArrivalReturns(start=True, first="true")
    zeros, pred = torch.zeros(2, H + 1), torch.full((2, H + 1), GAMMA)
    first = departure.first_con(pred[:, 0], con, terminal, GAMMA)
    weight = departure(zeros, zeros, torch.cat([first[:, None], pred[:, 1:]], 1), con.outer_discount).critic_weight
    assert not weight[0].any()
    torch.testing.assert_close(weight[1], GAMMA ** torch.arange(5))
    first = arrival.first_con(pred[:, 0], con, terminal, GAMMA)
    targets = arrival(zeros + 1, zeros + 7, torch.cat([first[:, None], pred[:, 1:]], 1), con.outer_discount)
    assert targets.critic_weight[0].tolist() == [1, 0, 0, 0, 0]  # the start's own value, which is its reward
    assert targets.critic_ret[0, 0] == 1
    assert targets.critic_weight[1].all()


@st.composite
def replayed(draw, length=7):
    """Rewards, bootstrap values and flags of a sequence."""
    number = st.lists(st.floats(-9, 9, width=16), min_size=length, max_size=length)
    flag = st.lists(st.booleans(), min_size=length, max_size=length)
    reward, boot, last, terminal = draw(number), draw(number), np.array(draw(flag)), np.array(draw(flag))
    return np.float32(reward), np.float32(boot), last, terminal & last


@settings(max_examples=80, deadline=None)
@given(data=replayed(), lam=LAMBDAS)
def test_replayed_departure_returns(data, lam):
    reward, boot, last, terminal = data
    want = []
    for t in range(len(reward) - 1):
        total, weight = 0.0, 1.0
        for k in range(t + 1, len(reward)):
            live, keep = GAMMA * (not terminal[k]), lam * (not last[k]) * (k < len(reward) - 1)
            total += weight * (reward[k] + live * (1 - keep) * boot[k])
            weight *= live * keep
        want.append(total)
    got = DepartureReturns(lam=lam).replay(*(x[None] for x in tensors(reward, last, terminal, boot)), GAMMA)
    np.testing.assert_allclose(got[0], want, rtol=1e-5, atol=1e-5)


@settings(max_examples=80, deadline=None)
@given(data=replayed(), lam=LAMBDAS)
def test_replayed_arrival_returns(data, lam):
    """At a time limit, the imagined return replaces the rest of the sum."""
    reward, boot, last, terminal = data
    want = []
    for t in range(len(reward) - 1):
        total, weight = 0.0, 1.0
        for k in range(t, len(reward)):
            if k == len(reward) - 1 or (last[k] and not terminal[k]):
                total += weight * boot[k]
                break
            live = GAMMA * (not terminal[k])
            total += weight * (reward[k] + live * (1 - lam) * boot[k + 1])
            weight *= live * lam
        want.append(total)
    got = ArrivalReturns(lam=lam).replay(*(x[None] for x in tensors(reward, last, terminal, boot)), GAMMA)
    np.testing.assert_allclose(got[0], want, rtol=1e-5, atol=1e-5)


#: Imagined states that count, and steps of the critic and actor losses, at the published horizon of 15.
LENGTHS = {"v1": (15, 14, 14), "v2": (16, 15, 14), "v3": (16, 15, 15), "v3-2023": (16, 15, 15)}


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_horizon_and_lengths_of_losses(algo):
    """Counts actions of the policy, states in losses and returns; the horizon is that of the version's file."""
    config = load(algo, ())
    assert config["imagination"]["horizon"] == 15
    assert [config["returns"].get("start", True), config["returns"]["lam"]] == [algo != "v1", 0.95]
    agent = make(algo, imagination__horizon=15)
    batch = agent.to_tensors(random_batch(agent, size=3, length=5))
    noise, chosen, sample = agent.noise(3, 5), [], agent.behavior.actor.dist.sample
    agent.behavior.actor.dist.sample = lambda out, noise: chosen.append(len(out)) or sample(out, noise)
    _, states, _ = agent.model_losses(batch, noise)
    losses, _ = agent.behavior_losses(states, batch, 0, noise)
    assert chosen == [15] * 15
    states, critic, actor = LENGTHS[algo]
    assert losses["critic"].shape == (15, critic)
    assert losses["actor"].shape == (15, actor)
    targets = agent.behavior.returns(*torch.zeros(3, 15, 16), 1.0)
    used = torch.arange(16)[targets.critic].tolist()
    assert [16 - used[0], used[-1]] == [states, 14]  # the last state only gives its value


def test_value_loss_of_replayed_steps_leaves_out_the_last_and_all_episode_ends():
    agent = make("v3")
    batch = agent.to_tensors(random_batch(agent, size=3, length=64))
    noise = agent.noise(3, 64)
    _, states, _ = agent.model_losses(batch, noise)
    loss = agent.behavior_losses(states, batch, 0, noise)[0]["repval"]
    assert loss.shape == (3, 63)
    assert (loss == 0).equal(batch["is_last"][:, :-1])


@pytest.mark.parametrize("con", ["NoContinue", "SoftContinue", "BinaryContinue"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_the_discount_is_applied_once(algo, con):
    """With a head that is sure to continue, successive weights differ by exactly the discount, for every head."""
    config = load(algo, con__use=con, discount=GAMMA)
    module = parts.build("con", config["con"], 3, Style(), GAMMA, layers=0, units=0)
    if con != "NoContinue":
        torch.nn.init.zeros_(module.net[-1].weight)
        torch.nn.init.constant_(module.net[-1].bias, np.log(9.0) if con == "SoftContinue" else 50.0)
    returns, terminal = parts.build("returns", config["returns"]), torch.zeros(1, dtype=torch.bool)
    pred = module.pred(torch.zeros(1, H + 1, 3))
    first = returns.first_con(pred[:, 0], module, terminal, GAMMA)
    targets = returns(*torch.zeros(2, 1, H + 1), torch.cat([first[:, None], pred[:, 1:]], 1), module.outer_discount)
    for weight in (targets.critic_weight[0], targets.actor_weight[0]):
        torch.testing.assert_close(weight[1:] / weight[:-1], torch.full((len(weight) - 1,), GAMMA))
