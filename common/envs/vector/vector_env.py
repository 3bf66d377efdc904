"""`Envs`: n environments stepped together, as batches of departure-aligned records.

A record is {observation keys..., reward, is_first, is_last, is_terminal, log}. Autoreset is in the next step: the call
after `is_last` ignores that environment's action and returns its reset record (`is_first`, reward 0). An environment
that fails does not stop the run: its episode is closed as truncated, it is made again, and `messages()` reports it.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self

import gymnasium
import numpy as np

from common.envs.vector.env_slot import EnvSlot
from common.envs.vector.workers import ContainedEnv, LocalEnv, WorkerEnv
from common.errors import UserError

SpacePair = tuple[gymnasium.Space, gymnasium.Space]


class Envs:
    """n environments. `obs_space` (Dict), `act_space` and `repeat` (frames per step) describe one; `num` is n.

    makers: one function per environment that makes it. processes: whether each gets a worker process. raw: both spaces
    before they were adapted, None if unknown. messages: initial messages for the user. timeout: seconds for a reset or
    step, 0 for no limit.

    Actions are float32 (n, A) for Box, int64 (n,) for Discrete, int64 (n, k) for MultiDiscrete.

    Raises:
        TooManyEnvFailures: an environment broke `max_failures` + 1 times in a row; its cause has the traceback.
    """

    slots: list[Any]  # of EnvSlot here, of EpisodePosition in AleVectorEnvs

    def __init__(
        self,
        makers: list[Callable[[], gymnasium.Env]],
        obs_space: Any,
        act_space: Any,
        *,
        processes: bool,
        repeat: int,
        max_failures: int,
        timeout: float = 0.0,
        raw: SpacePair | None = None,
        messages: Iterable[str] = (),
    ):
        self.obs_space, self.act_space, self.raw = obs_space, act_space, raw
        self.num, self.repeat, self.processes = len(makers), repeat, processes
        self._messages: list[str] = list(messages)
        backend = WorkerEnv if processes else LocalEnv
        contained = [partial(ContainedEnv, make, obs_space, act_space, timeout) for make in makers]
        self.slots = [
            EnvSlot(index, partial(backend, make), max_failures, self._messages, timeout)
            for index, make in enumerate(contained)
        ]

    def reset(self) -> dict:
        """Start the next episode everywhere and return the reset records, arrays of shape (n, ...)."""
        for slot in self.slots:
            slot.begin()
        return self._checked([slot.receive() for slot in self.slots])

    def step(self, actions: np.ndarray) -> dict:
        """Make one agent step everywhere (a reset after `is_last`) and return the records, arrays of shape (n, ...)."""
        self.send(actions)
        record = self.receive()
        self.check()
        return record

    def send(self, actions: np.ndarray) -> None:
        """Start a step everywhere; `receive` returns its records.

        Worker processes run while the caller does something else. Environments in this process have made their step
        when this returns.
        """
        assert len(actions) == self.num, (np.shape(actions), self.num)
        assert np.isfinite(actions).all(), actions
        for slot, action in zip(self.slots, actions, strict=True):
            slot.send(action)

    def receive(self) -> dict:
        """Wait for the step that `send` started and return its records. Call `check` afterwards."""
        return self._stack([slot.receive() for slot in self.slots])

    def closed(self) -> np.ndarray:
        """Return which current records close an episode that a failure cut short, bool (n,)."""
        return np.array([slot.closed for slot in self.slots])

    def render(self, index: int) -> np.ndarray | None:
        """Return a rendered frame of one environment, uint8 (H, W, 3).

        Return None if it is in another process or renders none. If it renders something else, `messages` reports it.
        """
        slot = self.slots[index]
        frame, problem = slot.env.render_frame() if isinstance(slot.env, LocalEnv) else (None, "")
        if problem:
            slot.add_message(f"it is not filmed: {problem}")
        return frame

    def action_names(self, index: int) -> list[str]:
        """Return the names of the actions of one environment; empty if it has none or is in another process."""
        env = self.slots[index].env
        return env.action_names() if isinstance(env, LocalEnv) else []

    def check(self) -> None:
        """Raise TooManyEnvFailures if an environment is given up. Call after the records of `receive` are stored."""
        for slot in self.slots:
            if slot.error:
                raise slot.error

    def state(self) -> list[dict]:
        """Return the position of each environment as plain numbers, strings and lists; not between send and receive."""
        return [slot.state() for slot in self.slots]

    def restore(self, state: list[dict]) -> dict:
        """Replay the saved episodes up to their positions and return the records that were current then.

        An environment whose replay leads to another record starts a new episode, and `messages` reports it.

        Raises:
            UserError: the state has another number of environments.
        """
        self._check_number(state)
        return self._checked(self._map(EnvSlot.restore, self.slots, state))

    def messages(self) -> list[str]:
        """Return and clear the messages since the last call: a sentence each, followed by a traceback if there is one.

        A message that several environments share is returned once.
        """
        drained = list(dict.fromkeys(self._messages))
        self._messages.clear()
        return drained

    def close(self) -> None:
        """Close every environment and end every worker process."""
        self._map(EnvSlot.close, self.slots)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _map(self, function: Callable, *arguments: Iterable) -> list:
        """Map over the slots: in parallel for processes, else in this thread, which owns the renderers."""
        if not self.processes:
            return list(map(function, *arguments))
        with ThreadPoolExecutor(self.num) as threads:
            return list(threads.map(function, *arguments))

    def _check_number(self, state: list[dict]) -> None:
        if len(state) != self.num:
            raise UserError(
                f"The run was saved with {len(state)} environments, not {self.num}: --run.envs {len(state)}."
            )

    def _checked(self, records: list[dict]) -> dict:
        self.check()
        return self._stack(records)

    def _stack(self, records: list[dict]) -> dict:
        logs = [record.pop("log") for record in records]
        stacked = {key: np.array([record[key] for record in records]) for key in records[0]}
        names = {name for log in logs for name in log}
        return {**stacked, "log": {name: np.array([log.get(name, np.nan) for log in logs]) for name in names}}
