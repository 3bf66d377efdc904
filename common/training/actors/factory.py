"""Builds a run with actors: they act, and this process learns."""

from functools import partial
from pathlib import Path
from typing import Any, cast

from common.replay import Replay
from common.replay.shards import ShardedReplay, folder_of_shard
from common.storage.saved_agent import refuse_malformed
from common.training.actors.collector import ActorCollector, lives_of
from common.training.actors.group import ActorGroup, MakePool
from common.training.actors.ray_pool import RayPool
from common.training.actors.shares import check_actors, shares_of_actors, with_seed
from common.training.collector import VectorEnvs
from common.training.factory import Factory, Spec
from common.training.loop import Loop


def ray_pool(shares: list[dict[str, Any]], config: dict[str, Any]) -> RayPool:
    """Return actors on Ray."""
    return RayPool(shares, config["run"]["actor_cpus"], config["run"]["ray_address"])


class ActorFactory(Factory):
    """Builds a run with actors. state: the run's own checkpoint if it is resumed. make_pool: connects to the actors."""

    def __init__(self, config: dict[str, Any], state: dict[str, Any] | None, make_pool: MakePool = ray_pool) -> None:
        check_actors(config)
        self.shares, self.make_pool = shares_of_actors(config), make_pool
        self.lives = [0] * len(self.shares)
        if state is not None:
            with refuse_malformed(Path(config["logdir"])):
                self.lives = [life + 1 for life in lives_of(state["collector"], len(self.shares))]

    def envs(self, config: dict[str, Any], *, evaluate: bool = False) -> VectorEnvs:
        """Start the actors; for evaluation build environments in this process."""
        if evaluate:
            return super().envs(config, evaluate=True)
        sizes = [share["run"]["envs"] for share in self.shares]
        pool = self.make_pool(self.shares, config)
        try:
            return cast(VectorEnvs, ActorGroup(pool, sizes, config, self.lives))
        except BaseException:
            pool.close()
            raise

    def replay(self, config: dict[str, Any], spec: Spec, streams: int, folder: Path) -> Replay:
        """Build an empty replay with a part for each actor."""
        count = len(self.shares)
        parts = []
        for index, share in enumerate(self.shares):
            own = with_seed(config | {"replay": share["replay"]}, index, 0)
            place = folder_of_shard(folder, index)
            parts.append(super().replay_part(own, spec, share["run"]["envs"], place, sharers=count))
        return cast(Replay, ShardedReplay(parts, config["seed"]))

    def loop(self, config: dict[str, Any], **pieces: Any) -> Loop:
        """Build the loop with the collector of the actors."""
        run, repeat = config["run"], pieces["envs"].repeat
        limits = {"prefill": run["prefill"], "steps": -(-config["steps"] // repeat)}
        options = {"chunk": run["actor_chunk"], "refresh": run["actor_refresh"], **limits}
        return super().loop(config, **pieces, collector=partial(ActorCollector, **options))
