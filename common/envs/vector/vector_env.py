"""`Envs`: n environments stepped together, as batches of departure-aligned records.

A record is {observation keys..., reward, is_first, is_last, is_terminal, log}. Next-step autoreset: the call after
`is_last` ignores that environment's action and returns its reset record (`is_first`, reward 0). An environment that
breaks does not stop the run: its episode is closed as truncated, it is made again, and `messages()` says so.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from common.envs.vector.env_slot import EnvSlot
from common.envs.vector.workers import ContainedEnv, LocalEnv, WorkerEnv
from common.errors import UserError


class Envs:
    """n environments. `obs_space` (Dict), `act_space`, `num`, `repeat` (frames per step) describe one of them.

    `raw` are both spaces before they were adapted, None where that is not known.
    messages: what there is to tell about them from the start.

    actions: float32 (n, A) for Box, int64 (n,) for Discrete, int64 (n, k) for MultiDiscrete.

    timeout: seconds that an answer may take, 0 for any time.

    Raises:
        Broken: an environment broke `max_failures` + 1 times in a row; its cause has the traceback.
    """

    def __init__(
        self, makers: list[Callable], obs_space, act_space, *, processes, repeat, max_failures, timeout=0.0, raw=None,
        messages=(),
    ):  # fmt: skip
        self.obs_space, self.act_space, self.raw = obs_space, act_space, raw
        self.num, self.repeat, self.processes = len(makers), repeat, processes
        self._messages: list[str] = list(messages)
        vector = WorkerEnv if processes else LocalEnv
        guards = [partial(ContainedEnv, make, obs_space, act_space, timeout) for make in makers]
        self.slots: list[Any] = [  # of `Place`
            EnvSlot(index, partial(vector, guard), max_failures, self._messages, timeout)
            for index, guard in enumerate(guards)
        ]

    def reset(self) -> dict:
        """Start the next episode everywhere: its reset records, arrays of shape (n, ...)."""
        for seat in self.slots:
            seat.begin()
        return self._checked([seat.receive() for seat in self.slots])

    def step(self, actions: np.ndarray) -> dict:
        """One agent step everywhere (a reset where the last record was `is_last`): records of shape (n, ...)."""
        self.send(actions)
        record = self.receive()
        self.check()
        return record

    def send(self, actions: np.ndarray) -> None:
        """Begin a step everywhere; what it leads to is there for `receive`.

        Worker processes are at it while the caller does something else. Environments in this process have made their
        step when this returns.
        """
        assert len(actions) == self.num, (np.shape(actions), self.num)
        assert np.isfinite(actions).all(), actions
        for seat, action in zip(self.slots, actions, strict=True):
            seat.send(action)

    def receive(self) -> dict:
        """The records that the step begun by `send` leads to; waits for them. See `check`."""
        return self._stack([seat.receive() for seat in self.slots])

    def picture(self, index: int) -> np.ndarray | None:
        """What one environment looks like, uint8 (H, W, 3); None where it is in another process or cannot be drawn.

        `messages` says what it draws instead.
        """
        seat = self.slots[index]
        picture, why = seat.env.picture() if isinstance(seat.env, LocalEnv) else (None, "")
        if why:
            seat.say(f"it is not filmed: {why}")
        return picture

    def check(self) -> None:
        """To be called after `receive`, once its records are taken in: raises Broken if there can be no more."""
        for seat in self.slots:
            if seat.broken:
                raise seat.broken

    def state(self) -> list[dict]:
        """Where each environment stands, as plain numbers, strings and lists; not between `send` and `receive`."""
        return [seat.state() for seat in self.slots]

    def restore(self, state: list[dict]) -> dict:
        """Play the saved episodes again up to where they stood: the records that were current then.

        An environment that does not come back to the same record starts a new episode, and `messages` says so.

        Raises:
            UserError: the state is of another number of environments.
        """
        self._same_number(state)
        return self._checked(self._each(EnvSlot.restore, self.slots, state))

    def messages(self) -> list[str]:
        """What went wrong since the last call: a sentence each, and in further lines the environment's traceback.

        What several environments say in the same words is said once.
        """
        drained = list(dict.fromkeys(self._messages))
        self._messages.clear()
        return drained

    def close(self) -> None:
        """Close every environment and end every worker process."""
        self._each(EnvSlot.close, self.slots)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _each(self, function, *arguments):
        """Map over the seats: side by side for processes, here otherwise (renderers belong to one thread)."""
        if not self.processes:
            return list(map(function, *arguments))
        with ThreadPoolExecutor(self.num) as threads:
            return list(threads.map(function, *arguments))

    def _same_number(self, state):
        if len(state) != self.num:
            raise UserError(
                f"The run was saved with {len(state)} environments, not {self.num}: --run.envs {len(state)}."
            )

    def _checked(self, records):
        self.check()
        return self._stack(records)

    def _stack(self, records):
        logs = [record.pop("log") for record in records]
        stacked = {key: np.array([record[key] for record in records]) for key in records[0]}
        names = {name for log in logs for name in log}
        return {**stacked, "log": {name: np.array([log.get(name, np.nan) for log in logs]) for name in names}}
