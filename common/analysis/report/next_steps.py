"""Commands for what to do after the demo, each with its purpose."""

import shlex

from common.analysis.report.run_collection import Runs


def next_steps(runs: Runs) -> dict[str, str]:
    """Return purpose -> command for the runs of a demo; {} for those of other commands."""
    if runs.grid.get("kind") != "demo":
        return {}
    folder, last = shlex.quote(str(runs.folder)), runs.runs[-1]
    logdir, steps = shlex.quote(str(last.logdir)), 2 * last.config["steps"]
    firsts = {run.variant: run.logdir for run in reversed(runs.on(last.task))}
    logdirs = shlex.join(str(firsts[variant]) for variant in runs.variants if variant in firsts)
    commands = {
        "Train the same agents longer": f"demo --logdir {folder} --steps {steps}",
        "Train more seeds": f"demo --logdir {folder} --seeds 3",
        "Evaluate an agent and film it": f"eval --logdir {logdir} --episodes 10 --video 1",
        "Dream with the agents in the browser": f"dream --logdirs {logdirs}",
        "Train on another task": "train --algo v3 --configs cpu --task gym_CartPole-v1 --logdir logs/cartpole",
        "Compare V3 with itself without one idea": "ablate v3 --drop retnorm --setting cpu --tasks gym_Pendulum-v1",
        "See what differs between two versions": "explain v1 v3",
    }
    return {purpose: f"python dreamer.py {words}" for purpose, words in commands.items()}
