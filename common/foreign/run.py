"""A run directory made from a foreign checkpoint: it can be evaluated, loaded, exported and trained further."""

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.agent.agent import Agent
from common.agent.slow import SlowCopy
from common.envs import UNKNOWN_TASK
from common.errors import UserError
from common.files import make_output_folder
from common.foreign.fit import Fit, fit
from common.foreign.formats import Format
from common.foreign.source import Description, Source
from common.foreign.spaces import key_flags, match_keys
from common.nn import rng
from common.nn.machine import resolve_device
from common.storage import spaces as stored_spaces
from common.storage.checkpoints import Checkpoints
from common.storage.logdir import config_digest, store_config
from common.storage.logger import Logger
from common.storage.progress import Progress
from common.training.core import Core
from common.training.evaluator import Evaluator
from common.training.factory import Factory, record_spec
from common.training.session import Session
from common.training.stop import Stop
from common.training.threads import ThreadChoice

Resolve = Callable[[dict[str, Any]], dict]  # flags -> complete config


class Imported(NamedTuple):
    """Result of an import: the config of the run, the agent, and what was copied into it."""

    config: dict[str, Any]
    agent: Agent
    fit: Fit


def import_run(
    module: Format,
    source: Source,
    logdir: Path,
    resolve: Resolve,
    typed: dict[str, Any],
    factory: Factory | None = None,
) -> Imported:
    """Write the run directory `logdir` with the agent of `source`.

    resolve: returns the config of the described version with these flags. typed: the user's flags, which win; without
    a `task` the spaces are those of the file, and the run cannot be evaluated or trained.

    Raises UserError, with nothing written, if the networks do not fit or `logdir` is not empty.
    """
    refuse_used(logdir)
    described = module.describe(source)
    flags = {"task": UNKNOWN_TASK} | described.flags | env_flags(described) | typed | {"logdir": str(logdir)}
    with contextlib.ExitStack() as stack:
        envs, factory = None, factory or Factory()
        found = stored_spaces.Spaces(described.observation, described.action, (described.observation, described.action))
        config = resolve(flags)
        rng.seed_all(config["seed"])
        if config["task"] != UNKNOWN_TASK:
            envs = stack.enter_context(contextlib.closing(factory.envs(config)))
            found = stored_spaces.from_envs(envs)
        keys = match_keys(described, found.observation, found.action)
        config = resolve(flags | key_flags(described, keys, found.observation))
        agent = Agent(found.observation, found.action, config, resolve_device("cpu"))
        copied = fit(agent, module.slots(agent, source, keys), source, described.fresh)
        set_counters(agent, source)
        folder = stack.enter_context(complete_folder(logdir))
        store_config(folder, config)
        stored_spaces.write(folder, found)
        if envs is None:
            save_agent(agent, config, source, folder)
        else:
            core = Core(factory, envs, factory.schedule(config), ThreadChoice(1, ""), agent, 0)
            save_loop(core, config, source, folder)
    return Imported(config, agent, copied)


def env_flags(described: Description) -> dict[str, Any]:
    """Return the options of environments with which they give observations of the described kinds and sizes."""
    shapes = [box.shape or () for box in described.observation.values()]
    images = [shape for shape in shapes if len(shape) == 3]
    kinds = [name for name, given in (("image", bool(images)), ("vector", len(images) < len(shapes))) if given]
    flags: dict[str, Any] = {"env.obs": kinds[0] if len(kinds) == 1 else "both"}
    if images:
        flags |= {"env.size": images[0][0], "env.gray": images[0][2] == 1}
    return flags


def refuse_used(logdir: Path) -> None:
    """Raise UserError unless the directory is new or empty."""
    if logdir.exists() and (not logdir.is_dir() or any(logdir.iterdir())):
        raise UserError(f"{logdir} holds files already. Choose another --out.")


@contextlib.contextmanager
def complete_folder(logdir: Path) -> Iterator[Path]:
    """Yield a new folder next to `logdir`. It gets that name at the end, and is removed after an error."""
    folder = logdir.parent / f".{logdir.name}.{secrets.token_hex(4)}.tmp"
    make_output_folder(folder)
    try:
        yield folder
        folder.replace(logdir)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def set_counters(agent: Agent, source: Source) -> None:
    """Set the updates of a slow critic, which is then not replaced by a first copy."""
    if isinstance(agent.behavior.slow, SlowCopy):
        agent.behavior.slow.updates = max(1, source.updates)


def save_agent(agent: Agent, config: dict[str, Any], source: Source, logdir: Path) -> None:
    """Write a checkpoint of the agent alone, for a run without a task."""
    frames = source.agent_steps(config["env"]["repeat"]) * config["env"]["repeat"]
    state = {"agent": agent.state_dict(), "frames": frames, "digest": config_digest(config)}
    info = {"frames": frames, "updates": source.updates, "algo": config["algo"]}
    Checkpoints(logdir / "checkpoints").save(state, **info)


def save_loop(core: Core, config: dict[str, Any], source: Source, logdir: Path) -> None:
    """Write a complete checkpoint of training, with an empty replay."""
    with training_session(core, config, logdir) as session:
        loop = session.loop
        loop.begin()
        loop.agent_steps, loop.updates, loop.pretrained = source.agent_steps(loop.repeat), source.updates, True
        for clock in loop.clocks.values():
            clock.mark(loop.frames)
        session.info.begin(loop.frames, sum(core.agent.parameter_table().values()))
        session.save()


@contextlib.contextmanager
def training_session(core: Core, config: dict[str, Any], logdir: Path) -> Iterator[Session]:
    """Build the session and the loop that training would have at its start."""
    session = Session(config, logdir, Checkpoints(logdir / "checkpoints"), Stop(), core)
    factory, envs, schedule, _, agent, _ = core
    with contextlib.ExitStack() as stack:
        replay = factory.replay(config, record_spec(envs.obs_space, agent), envs.num, logdir / "replay")
        evaluator = Evaluator(agent, lambda: factory.envs(config, evaluate=True), config["seed"])
        logger = Logger(logdir, task=config["task"], method=config["algo"], seed=config["seed"])
        progress = Progress(config["steps"])
        for piece in (evaluator, logger, progress):
            stack.callback(piece.close)
        session.loop = factory.loop(
            config, envs=envs, agent=agent, replay=replay, schedule=schedule, evaluator=evaluator, logger=logger,
            progress=progress, stop=session.stop, folder=logdir / "replay", save=session.save,
        )  # fmt: skip
        yield session
