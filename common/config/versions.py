"""The versions: the recipe of each, its file of numbers, and the config of a version with blocks and flags.

The recipes are imported by name when they are needed: nothing else in common/ knows a version.
"""

import functools
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.config import alternatives, features
from common.config import config as configs
from common.config.extends import EXTENDS, extend
from common.errors import UserError

CONFIG_FOLDER = Path(__file__).parents[2] / "configs"

#: Version -> module of its recipe, file of its numbers.
ALGOS = {
    "v1": ("dreamer_v1.recipe", "dreamer_v1.yaml"),
    "v2": ("dreamer_v2.recipe", "dreamer_v2.yaml"),
    "v3": ("dreamer_v3.recipe", "dreamer_v3.yaml"),
    "v3-2023": ("dreamer_v3.recipe_2023", "dreamer_v3_2023.yaml"),
}
DEFAULT_ALGO = "v3"
#: Version -> arXiv number of its paper.
PAPERS = {"v1": "1912.01603", "v2": "2010.02193", "v3": "2301.04104", "v3-2023": "2301.04104"}

#: Task prefix -> environment block used when --configs names none.
ENVIRONMENT_BLOCKS = {
    **{name: name for name in ("atari", "atari100k", "crafter", "minigrid", "bsuite", "metaworld", "memorymaze")},
    **{"gym": "gym", "dmc": "dmc_proprio", "dummy": "gym"},
}


def recipe(algo: str) -> Any:
    """Return the parts of a version. Raises UserError for an unknown one."""
    if algo not in ALGOS:
        raise UserError(configs.unknown_name("version", algo, ALGOS))
    return importlib.import_module(ALGOS[algo][0]).recipe


read_config = functools.cache(configs.read)  # grids resolve hundreds of configs; no caller changes what is returned


def resolve(
    algo: str, blocks: Sequence[str] = (), flags: Mapping[str, Any] | None = None, borrowed: dict | None = None
) -> dict:
    """Return the config of a version, with config blocks and flags (dotted keys) applied.

    borrowed: feature -> the version whose value it takes; for a part that `flags` choose, its options in that version.
    Raises UserError for anything unknown.
    """
    parts, flags = recipe(algo), flags or {}
    own, shared = version_blocks(algo), environment_blocks()
    blocks = [block for block in blocks if block != "defaults"]
    for block in blocks:
        if block not in own and block not in shared:
            raise UserError(configs.unknown_name(f"config block for {algo}", block, {**own, **shared}))
    names = with_environment_block(str(flags.get("task", "")), blocks)
    chosen = [alternatives.split(layer[name]) for name in names for layer in (shared, own) if name in layer]
    layers = [keys for keys, _ in chosen]
    for feature, source in (borrowed or {}).items():
        if source not in ALGOS:
            raise UserError(features.part_message(feature, source) or configs.unknown_name("version", source, ALGOS))
        parts_given = features.parts_given(feature, flags)
        layers.append(features.values(feature, lender_config(source, tuple(blocks), flags.get("task"), parts_given)))
    others = alternatives.merge([version_alternatives(algo), *(options for _, options in chosen)])
    return configs.resolve(parts, own["defaults"], [*layers, dict(flags)], others)


def version_blocks(algo: str, extending: tuple[str, ...] = ()) -> dict:
    """Return the config blocks of a version, its `defaults` included. The result is shared: do not change it.

    extending: versions whose files extend this one. Raises UserError if a file extends itself or an unknown version.
    """
    path = CONFIG_FOLDER / ALGOS[algo][1]
    own = {name: block for name, block in read_config(path).items() if name != alternatives.ALTERNATIVES}
    base = own.pop(EXTENDS, None)
    if base is None:
        return own
    if base not in ALGOS or base in (*extending, algo):
        known = [name for name in ALGOS if name not in (*extending, algo)]
        raise UserError(f"{path} extends {base!r}. {configs.unknown_name('version to extend', str(base), known)}")
    own["defaults"] = {"algo": algo} | (own.get("defaults") or {})
    return extend(own, version_blocks(base, (*extending, algo)), recipe(algo), recipe(base))


def version_alternatives(algo: str) -> dict[str, dict]:
    """Return the options for which a version has values of its own, by the class of a part that it does not choose.

    The result is shared: do not change it.
    """
    file = read_config(CONFIG_FOLDER / ALGOS[algo][1])
    inherited = version_alternatives(file[EXTENDS]) if EXTENDS in file else {}
    return alternatives.merge([inherited, file.get(alternatives.ALTERNATIVES) or {}])


def environment_blocks() -> dict:
    """Return the config blocks that all versions share. The result is shared: do not change it."""
    return read_config(CONFIG_FOLDER / "environments.yaml")


@functools.cache
def lender_config(
    source: str, blocks: tuple[str, ...], task: str | None, parts_given: tuple[tuple[str, str], ...] = ()
) -> dict:
    """Return the config of a version that lends features, for the same task and those blocks that the version has.

    parts_given: keys `SEAM.use` with the chosen part. The result is shared: do not change it.
    """
    known = {**(version_blocks(source) if source in ALGOS else {}), **environment_blocks()}
    return resolve(
        source,
        [block for block in blocks if block in known],
        dict(parts_given) | ({} if task is None else {"task": task}),
    )


def block_names() -> set[str]:
    """Return the names of the config blocks of all versions."""
    return {*environment_blocks(), *(name for algo in ALGOS for name in version_blocks(algo))}


def with_environment_block(task: str, blocks: list[str]) -> list[str]:
    """Return `blocks`, behind the block of the task's environment unless one of them is for an environment."""
    block = "gym" if ":" in task else ENVIRONMENT_BLOCKS.get(task.split("_")[0])
    return [block, *blocks] if block and not set(blocks) & set(environment_blocks()) else blocks
