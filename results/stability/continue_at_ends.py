"""Script that measures on a CartPole run how episodes end, and whether its continue head predicts these ends.

`python results/stability/continue_at_ends.py LOGDIR ...` needs checkpoint and replay of each run. Episodes end at the
track (the cart is more than 2.4 from the middle) or by the angle of the pole.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from common.agent.agent import Agent
from common.experiments.film import load_players

BURN_IN = 40  # records before and at an end, from which the state is inferred; shorter episodes are left out
AHEAD = 15  # steps before the end from which the model imagines, with the recorded actions
SAMPLES = 8  # imagined trajectories for each end
TRACK = 2.4


def read_records(logdir: Path) -> dict[str, np.ndarray]:
    """Return key -> all stored records (N, ...) of the first environment, in order. Saved chunks may overlap."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for path in sorted(logdir.glob("replay/*data*.npz")):
        chunk = np.load(path)
        for key in set(chunk.files) - {"first"}:
            rows = dict(enumerate(chunk[key][0], int(chunk["first"])))
            found.setdefault(key.partition("/")[2], {}).update(rows)
    return {key: np.stack([rows[number] for number in sorted(rows)]) for key, rows in found.items()}


@torch.no_grad()
def end_probabilities(agent: Agent, records: dict[str, np.ndarray], end: int, discount: float) -> tuple[float, float]:
    """Return the probability of an end at the last record of an episode, and within AHEAD imagined steps."""
    window = slice(end - BURN_IN + 1, end + 1)
    batch = {key: value[window][None] for key, value in records.items()}
    batch |= {"prev_action": records["action"][end - BURN_IN : end][None], "is_first": np.zeros((1, BURN_IN), bool)}
    batch["is_first"][0, 0] = True
    tensors, noise = agent.to_tensors(batch), lambda steps: agent.latent.noise(steps, 1, device=agent.device)
    rssm, con = agent.world.rssm, agent.world.con
    embed = agent.world.encoder(tensors)
    states, _ = rssm.observe(embed, tensors["prev_action"], tensors["is_first"], noise(BURN_IN))
    seen = float(con.pred(states.feat)[0, -1]) / discount
    start, actions = states.apply(lambda x: x[:, -1 - AHEAD]), tensors["prev_action"][:, -AHEAD:]
    imagined = []
    for _ in range(SAMPLES):
        ahead, _ = rssm.imagine(start, lambda _, step: actions[:, step], noise(AHEAD))
        imagined.append(float((con.pred(ahead.feat)[0, 1:] / discount).clamp(max=1).prod()))
    return 1 - seen, 1 - float(np.mean(imagined))


def describe_run(logdir: Path) -> str:
    """Return the ends of a run's episodes of BURN_IN or more steps, by kind, with the mean probabilities."""
    (player,) = load_players({logdir.name: logdir})
    records = read_records(logdir)
    firsts, lines = np.flatnonzero(records["is_first"]), []
    ends = [end for end in np.flatnonzero(records["is_terminal"]) if end - firsts[firsts <= end][-1] >= BURN_IN]
    left = np.array([abs(records["vector"][end, 0]) > TRACK for end in ends])
    found = np.array([end_probabilities(player.agent, records, end, player.config["discount"]) for end in ends])
    for kind, chosen in (("track", left), ("angle", ~left)):
        if chosen.any():
            seen, ahead = found[chosen].mean(0)
            lines.append(
                f"{kind}: {chosen.sum()} ends, predicted {seen:.2f}, within {AHEAD} imagined steps {ahead:.2f}"
            )
    return f"{logdir.name}: {'; '.join(lines) or 'no such episode'}"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(describe_run(Path(argument)))
