"""Act with a trained agent in a loop: python examples/act.py

First: python dreamer.py --algo v2 --configs cpu --task gym_CartPole-v1 --logdir logs/pole
"""

import pathlib
import sys

import gymnasium

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))


def main(logdir="logs/pole", episodes=3):
    """Play episodes; return their scores."""
    from dreamer import load

    policy, env, scores = load(logdir), gymnasium.make("CartPole-v1"), []
    for seed in range(episodes):
        (obs, _), state, over, score = env.reset(seed=seed), None, False, 0.0
        while not over:
            action, state = policy(obs, state)
            obs, reward, terminated, truncated, _ = env.step(action)
            over, score = terminated or truncated, score + float(reward)
        scores.append(score)
    return scores


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
