"""The config of a published agent: code that this program does not have is marked, and never imported."""

from typing import Any

from common.config.foreign_code import is_marked, marked, refusal
from common.config.parts import PARTS, current_name

#: Seams whose parts act. All other parts only learn, so a policy does not need them.
ACTING_SEAMS = ("latent", "cell", "conv", "policy_cont", "policy_disc", "explore")


def mark_foreign_code(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with an own environment and own parts marked. The config given is not changed."""
    task, changed = config.get("task"), dict[str, Any]()
    if isinstance(task, str) and ":" in task:
        changed["task"] = marked(task)
    for seam in PARTS:
        block = config.get(seam)
        if not isinstance(block, dict) or not isinstance(use := block.get("use"), str):
            continue
        if ":" in use and current_name(seam, use) not in PARTS[seam]:
            changed[seam] = {**block, "use": marked(use)}
    return config | changed


def policy_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config for a policy: marked parts that only learn are replaced by parts of this program.

    Raises UserError if a part that acts is marked.
    """
    changed = {}
    for seam in PARTS:
        use = config[seam]["use"]
        if is_marked(use):
            if seam in ACTING_SEAMS:
                raise refusal(f"{seam}.use", use)
            changed[seam] = {"use": PARTS[seam][0].partition(":")[2]}
    return config | changed
