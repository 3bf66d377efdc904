"""Act in many environments at once: python examples/batch_of_envs.py

First: python dreamer.py --algo v2 --configs cpu --task gym_CartPole-v1 --logdir logs/pole
"""

import pathlib
import sys

import gymnasium
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))


def main(logdir="logs/pole", number=8, steps=500):
    """Take steps in all environments; return the mean score of the episodes that ended."""
    from dreamer import load

    policy, envs, state = load(logdir), gymnasium.make_vec("CartPole-v1", number), None
    obs, _ = envs.reset(seed=0)
    first, over = np.ones(number, bool), np.zeros(number, bool)
    scores, finished = np.zeros(number), []
    for _ in range(steps):
        actions, state = policy(obs, state, is_first=first)  # the state is reset where an episode begins
        obs, rewards, terminated, truncated, _ = envs.step(actions)
        first, over = over, terminated | truncated  # an environment begins its next episode in the step after an end
        scores += rewards
        finished += scores[over].tolist()
        scores[over] = 0
    return float(np.mean(finished)) if finished else float(scores.mean())


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
