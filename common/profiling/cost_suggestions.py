"""Suggestions that reduce the cost of a run: its counts after a change, times measured times.

The time of an update is assumed proportional to its multiply-adds. Small networks take longer than that, so the
estimates for them are best cases.
"""

import contextlib
import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from common.agent import cost
from common.config.render_mode import has_dmc_images
from common.config.request import Request
from common.envs import make_env
from common.errors import UserError
from common.nn import machine
from common.nn.compile import REPAYING_SECONDS, has_cxx_compiler, has_fast_bfloat16
from common.profiling import forecast, measure
from common.profiling.forecast import UnitTimes
from common.profiling.speed import BuiltRun
from common.replay.capacity import GIB
from common.training.factory import Factory
from common.training.threads import choose_threads

SMALLER_BLOCKS = (  # the largest first; those that a version has
    "size200m", "size100m", "size50m", "size25m", "size12m", "size1m", "large", "medium", "small", "xsmall", "cpu",
)  # fmt: skip
HALVE_UPDATES = {"ratio": 0.5, "every": 2, "steps": 2}  # option of the schedule -> factor
MIN_SAVED_SHARE = 0.05  # of the time, or of the memory
MAX_FLOPS_SHARE = 0.7  # of a smaller network, compared with the current one
CHEAPER_RENDERS = {"full": ("fast", "ray"), "fast": ("ray",), "ray": ()}  # `env.render` -> faster values
TIMED_RENDER_STEPS = 20
MANY_ENVS = 16  # number of environments that the policy was timed with


class Suggestion(NamedTuple):
    """Flags to add, the seconds of the run at best (None if the time is unknown or unchanged), and the reason."""

    flags: str
    seconds: float | None
    why: str


class CostSuggestions:
    """Suggestions for one run. speed, found: results of `measure_run` and of `forecast_run`."""

    def __init__(self, request: Request, config: dict, run: BuiltRun, speed: dict, found: dict):
        self.request, self.config, self.run, self.speed, self.found = request, config, run, speed, found
        self.pace = UnitTimes(**found["pace"])

    def suggestions(self) -> list[Suggestion]:
        """Return the suggestions that save enough: first those that save time, the best first, then the others."""
        limit = (1 - MIN_SAVED_SHARE) * self.found["total"]
        timed = [(one.seconds, one) for one in self._timed() if one.seconds is not None and one.seconds < limit]
        timed.sort(key=lambda pair: pair[0])
        return [*(one for _, one in timed), *self._threads(), *self._compiler(), *self._replay()]

    def _timed(self) -> Iterator[Suggestion]:
        yield from self._smaller_networks()
        yield from self._changed_counts()
        yield from self._changed_times()
        for key, part in (("run.eval_every", "evaluation"), ("run.video_every", "videos")):
            yield Suggestion(f"--{key} 0", self.found["total"] - self.found["time"][part], f"no {part}")

    def _with_config(self, flags: dict[str, Any], blocks: tuple[str, ...] = ()) -> tuple[float, float]:
        """Return the seconds of the run with more flags and blocks, and its multiply-adds per update as a share."""
        request, run = self.request, self.run
        config = request.resolve(request.algo, [*request.blocks, *blocks], request.flags | flags, request.borrowed)
        images = self.found["counts"]["pictures"] > 0
        flops = cost.update_cost(config, run.envs.obs_space, run.envs.act_space, run.agent.half).flops
        share = flops / self.speed["cost"]["flops"]
        pace = self.pace._replace(update=self.pace.update * share)
        return sum(forecast.forecast_seconds(forecast.count_run(config, images), pace).values()), share

    def _with_times(self, **seconds: float) -> float:
        """Return the seconds of the unchanged run with other unit times."""
        counts = forecast.RunCounts(**self.found["counts"])
        return sum(forecast.forecast_seconds(counts, self.pace._replace(**seconds)).values())

    def _smaller_networks(self) -> Iterator[Suggestion]:
        """Suggest the next smaller networks, and the smallest."""
        found = []
        for block in SMALLER_BLOCKS:
            try:
                time, share = self._with_config({}, (block,))
            except UserError:  # this version does not have the block
                continue
            if share < MAX_FLOPS_SHARE:
                why = f"{share:.2g} times the multiply-adds in an update: a smaller model"
                blocks = [*self.request.blocks, block]
                steps = self.request._replace(blocks=blocks).config(self.config["algo"])["steps"]
                if steps < self.config["steps"]:
                    why += f", and a run of {steps:,} frames"
                found.append((time, f"--configs {' '.join(blocks)}", why))
        found.sort(reverse=True)
        for time, flags, why in found[:1] + found[1:][-1:]:
            yield Suggestion(flags, time, why)

    def _changed_counts(self) -> Iterator[Suggestion]:
        """Suggest half the updates, and a larger action repeat."""
        options = self.config["schedule"]
        if key := next((key for key in HALVE_UPDATES if options.get(key)), None):
            value = options[key] * HALVE_UPDATES[key]
            why = "half the updates: the agent learns less from each frame"
            yield Suggestion(f"--schedule.{key} {value:g}", self._with_config({f"schedule.{key}": value})[0], why)
        if self.config["env"]["repeat"] == 1:
            why = "one action for 2 frames: scores are not comparable with others"
            yield Suggestion("--env.repeat 2", self._with_config({"env.repeat": 2})[0], why)

    def _changed_times(self) -> Iterator[Suggestion]:
        """Suggest bfloat16, more environments, and faster renderers."""
        agent, envs = self.run.agent, self.run.envs
        if not agent.half and has_fast_bfloat16(agent.device):
            half, full = (machine.matmul_rate(kind, agent.device) for kind in (torch.bfloat16, torch.float32))
            why = f"matrix products are {half / full:.1f} times as fast as in float32, measured"
            yield Suggestion("--precision bf16", self._with_times(update=self.pace.update * full / half), why)
        if envs.num < MANY_ENVS:
            policy = self.speed["acting"][str(MANY_ENVS)]["median"]
            why = f"one policy call for {MANY_ENVS} environments takes {policy * 1e3:.2g} ms, measured"
            yield Suggestion(f"--envs {MANY_ENVS}", self._with_times(policy=policy / MANY_ENVS), why)
        for render in CHEAPER_RENDERS[self.config["env"]["render"]] if has_dmc_images(self.config) else ():
            try:
                seconds = self._time_rendered_step(render)
            except UserError:  # the ray renderer draws no skins
                continue
            why = f"{seconds * 1e3:.2g} ms per step, measured; not the published protocol: scores are not comparable"
            yield Suggestion(f"--env.render {render}", self._with_times(environment=seconds), why)

    def _time_rendered_step(self, render: str) -> float:
        """Return the seconds of an environment step with another renderer."""
        env = make_env(self.config["task"], self.config["env"] | {"render": render})
        with contextlib.closing(env):
            env.reset()
            step = lambda: env.step(env.action_space.sample())
            return statistics.median(measure.time_calls(step, self.run.agent.device, TIMED_RENDER_STEPS))

    def _threads(self) -> Iterator[Suggestion]:
        """Suggest the best number of threads, if the user has set another one."""
        run = self.config["run"]
        if run["threads"]:
            config = self.config | {"run": run | {"threads": 0}}
            best = choose_threads(config, None, Factory(), self.run.envs, self.found["counts"]["updates"])
            if best.threads != run["threads"]:
                yield Suggestion(f"--threads {best.threads}", None, f"measured: {best.why}")

    def _compiler(self) -> Iterator[Suggestion]:
        """Suggest compiled updates for a long run."""
        if self.run.agent.compiler is not None or self.found["time"]["updates"] < REPAYING_SECONDS:
            return
        no_compiler = self.config["run"]["compile"] == "auto" and not has_cxx_compiler()
        flags = "apt-get install g++" if no_compiler else "--compile auto"
        yield Suggestion(flags, None, "compiles the updates; the saved time is not known in advance")

    def _replay(self) -> Iterator[Suggestion]:
        """Suggest a replay that needs less memory."""
        need = self.found["memory"]
        size = need["replay"]
        if size >= max(GIB, MIN_SAVED_SHARE * (need["program"] + need["workers"] + size)):
            half = self.found["replay"]["records"] // 2
            yield Suggestion("--replay.disk true", None, f"saves {size / GIB:.1f} GiB of memory: the replay is on disk")
            why = f"saves {size / GIB / 2:.1f} GiB of memory: the replay drops the older half"
            yield Suggestion(f"--replay.capacity {half}", None, why)
