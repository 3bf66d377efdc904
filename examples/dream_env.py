"""Step in the world model of a trained agent, as in any Gymnasium environment: python examples/dream_env.py

First: python dreamer.py --algo v2 --configs cpu --task gym_CartPole-v1 --logdir logs/pole
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))


def main(logdir="logs/pole", episodes=3, horizon=50):
    """Play episodes in the dream with the agent's policy; return their predicted returns."""
    from dreamer import DreamEnv, load

    policy, env, returns = load(logdir), DreamEnv(logdir, horizon=horizon), []
    for seed in range(episodes):
        (obs, _), state, over, total = env.reset(seed=seed), None, False, 0.0
        while not over:
            action, state = policy(obs, state)
            obs, reward, terminated, truncated, info = env.step(action)
            over, total = terminated or truncated, total + reward
        print(f"Episode {seed}: {env.steps} steps, last value {info['value']:.1f}, last observation {obs}")
        returns.append(total)
    return returns


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
