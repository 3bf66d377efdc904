"""What would make a run cheaper, and by how much: its counts after a change, times what was measured here.

An update is taken to need time in proportion to its multiply-adds. Small networks need more, so what is said of them
is the best case.
"""

import contextlib
import statistics
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch

from common.agent import cost
from common.config.render_mode import has_dmc_images
from common.config.request import Request
from common.envs import make_env
from common.errors import UserError
from common.nn import machine
from common.nn.compile import has_cxx_compiler, has_fast_bfloat16
from common.profiling import forecast, measure
from common.profiling.forecast import UnitTimes
from common.replay.capacity import GIB
from common.training.factory import Factory
from common.training.threads import choose_threads

SMALLER_BLOCKS = (
    "size200m",
    "size100m",
    "size50m",
    "size25m",
    "size12m",
    "size1m",
    "cpu",
)  # blocks, where a version has them
HALVE_UPDATES = {"ratio": lambda x: x / 2, "every": lambda x: x * 2, "steps": lambda x: x * 2}  # option of the schedule
MIN_SAVED_SHARE = 0.05  # share of the time, or of the memory, that a change should save
MAX_FLOPS_SHARE = 0.7  # share of the multiply-adds that a smaller network may have at most
MIN_COMPILED_UPDATES = 3000  # updates from which compiling them pays
CHEAPER_RENDERS = {"full": ("fast", "ray"), "fast": ("ray",), "ray": ()}  # `env.render` -> those that draw less
TIMED_RENDER_STEPS = 20  # steps that are timed with images drawn otherwise
PROTOCOL_NOTE = "scores compare with none that are drawn otherwise"
MANY_ENVS = 16  # environments that the policy was timed with


class Suggestion(NamedTuple):
    """Flags to add; seconds that the run then takes at best, or None where only something else changes; why."""

    flags: str
    seconds: float | None
    why: str


class CostSuggestions:
    """Changes of one run. speed, found: what `speed` and `plan` found out about it."""

    def __init__(self, request: Request, config: dict, made: tuple, speed: dict, found: dict):
        self.request, self.config, self.speed, self.found = request, config, speed, found
        self.envs, self.agent, self.replay, *_ = made
        self.pace = UnitTimes(**found["pace"])

    def suggestions(self) -> list[Suggestion]:
        """All that are worth it: those that save time, the most first, then the others."""
        worth = (1 - MIN_SAVED_SHARE) * self.found["total"]
        timed = [saving for saving in self._timed() if saving.seconds is not None and saving.seconds < worth]
        return [*sorted(timed, key=lambda saving: saving.seconds or 0), *self._others()]

    def _timed(self) -> Iterator[Suggestion]:
        yield from self._smaller()
        yield from self._rarer()
        yield from self._repeat()
        yield from self._half()
        yield from self._side_by_side()
        yield from self._drawing()
        for key, part in (("run.eval_every", "evaluation"), ("run.video_every", "videos")):
            yield Suggestion(f"--{key} 0", self.found["total"] - self.found["time"][part], f"no {part}")

    def _others(self) -> Iterator[Suggestion]:
        yield from self._threads()
        yield from self._compiler()
        yield from self._replay()

    def _changed(self, flags: dict, blocks: tuple = ()) -> tuple[float, float]:
        """Seconds of the run with further flags and blocks; multiply-adds of its update as a share of those now."""
        request = self.request
        config = request.resolve(request.algo, [*request.blocks, *blocks], request.flags | flags, request.borrowed)
        images = self.found["counts"]["pictures"] > 0
        share = self._work(config) / self.speed["cost"]["flops"]
        pace = self.pace._replace(update=self.pace.update * share)
        return sum(forecast.forecast_seconds(forecast.count_run(config, images), pace).values()), share

    def _work(self, config: dict) -> int:
        return cost.update_cost(config, self.envs.obs_space, self.envs.act_space, self.agent.half).flops

    def _smaller(self) -> Iterator[Suggestion]:
        """The next smaller networks, and the smallest."""
        found = []
        for block in SMALLER_BLOCKS:
            try:
                time, share = self._changed({}, (block,))
            except UserError:  # a version without that block
                continue
            if share < MAX_FLOPS_SHARE:
                found.append(Suggestion(f"--configs {' '.join([*self.request.blocks, block])}", time, _less(share)))
        found.sort(key=lambda saving: -(saving.seconds or 0))
        yield from found[:1] + found[1:][-1:]

    def _rarer(self) -> Iterator[Suggestion]:
        """Half the updates."""
        options = self.config["schedule"]
        key = next((key for key in HALVE_UPDATES if options.get(key)), None)
        if key:
            flags = {f"schedule.{key}": HALVE_UPDATES[key](options[key])}
            yield Suggestion(_words(flags), self._changed(flags)[0], "half the updates: it learns less from each frame")

    def _repeat(self) -> Iterator[Suggestion]:
        """Fewer decisions in as many frames."""
        if self.config["env"]["repeat"] == 1:
            flags = {"env.repeat": 2}
            time, _ = self._changed(flags)
            yield Suggestion(_words(flags), time, "an action for every 2 frames: scores compare with no others")

    def _half(self) -> Iterator[Suggestion]:
        """Matrix products in bfloat16, where they are not."""
        where = self.agent.device
        if self.agent.half or not has_fast_bfloat16(where):
            return
        half, full = (machine.matmul_rate(kind, where) for kind in (torch.bfloat16, torch.float32))
        pace = self.pace._replace(update=self.pace.update * full / half)
        why = f"products of matrices are {half / full:.1f} times as fast as in float32, measured"
        yield Suggestion("--precision bf16", self._at(pace), why)

    def _side_by_side(self) -> Iterator[Suggestion]:
        """More environments, for which the policy is asked at once."""
        if self.envs.num < MANY_ENVS:
            policy = self.speed["acting"][str(MANY_ENVS)]["median"] / MANY_ENVS
            why = f"the policy decides for {MANY_ENVS} at once in {policy * MANY_ENVS * 1e3:.2g} ms, measured"
            yield Suggestion(f"--envs {MANY_ENVS}", self._at(self.pace._replace(policy=policy)), why)

    def _drawing(self) -> Iterator[Suggestion]:
        """Images of DeepMind Control drawn with less, which saves most where no GPU draws them."""
        for render in CHEAPER_RENDERS[self.config["env"]["render"]] if has_dmc_images(self.config) else ():
            try:
                spent = self._step_drawn(render)
            except UserError:  # no rays for a body under a skin
                continue
            why = f"{spent * 1e3:.2g} ms for a step, measured; not the published protocol: {PROTOCOL_NOTE}"
            yield Suggestion(f"--env.render {render}", self._at(self.pace._replace(environment=spent)), why)

    def _step_drawn(self, render: str) -> float:
        """Seconds of a step of the environment with images drawn in another way."""
        probe = make_env(self.config["task"], self.config["env"] | {"render": render})
        with contextlib.closing(probe):
            probe.reset()
            step = lambda: probe.step(probe.action_space.sample())
            return statistics.median(measure.time_calls(step, self.agent.device, TIMED_RENDER_STEPS))

    def _at(self, pace: UnitTimes) -> float:
        """Seconds of the run as it is, at another pace."""
        return sum(forecast.forecast_seconds(forecast.RunCounts(**self.found["counts"]), pace).values())

    def _threads(self) -> Iterator[Suggestion]:
        """The number of threads that is best here, where another one was asked for."""
        run = self.config["run"]
        if run["threads"]:
            best = choose_threads(
                self.config | {"run": run | {"threads": 0}}, None, Factory(), self.envs, self.found["counts"]["updates"]
            )
            if best.threads != run["threads"]:
                yield Suggestion(f"--threads {best.threads}", None, f"threads measured: {best.why}")

    def _compiler(self) -> Iterator[Suggestion]:
        """Compiled updates, in a run that is long enough."""
        if self.agent.compiler is not None or self.found["counts"]["updates"] < MIN_COMPILED_UPDATES:
            return
        lacks = self.config["run"]["compile"] == "auto" and not has_cxx_compiler()
        flags = "apt-get install g++" if lacks else "--compile auto"
        yield Suggestion(flags, None, "compiles the updates; how much that saves is not known before")

    def _replay(self) -> Iterator[Suggestion]:
        """Less memory for records."""
        need = self.found["memory"]
        size = need["replay"]
        if size < max(GIB, MIN_SAVED_SHARE * (need["program"] + need["workers"] + size)):
            return
        half = self.found["replay"]["records"] // 2
        yield Suggestion("--replay.disk true", None, f"{size / GIB:.1f} GiB of memory less: the replay lies on disk")
        yield Suggestion(f"--replay.capacity {half}", None, f"{size / GIB / 2:.1f} GiB less: it forgets the older half")


def _words(flags: Mapping[str, float]) -> str:
    return " ".join(f"--{key} {value:g}" for key, value in flags.items())


def _less(share: float) -> str:
    return f"{share:.2g} times the multiply-adds in an update: a smaller model"
