"""Environments that end and fail in known ways; worker processes import them by name."""

import os
import signal
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces


class Steady(gymnasium.Env):
    """Observes (step, episode's random number, 0); reward = step; truncated after 6 steps."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.number = 0, self.np_random.random()
        return self.observe(), {}

    def step(self, action):
        self.time += 1
        return self.observe(), float(self.time), False, self.time >= 6, {"log_time": self.time, "note": "hidden"}

    def observe(self):
        return np.array([self.time, self.number, 0], np.float32)


class Faulty(Steady):
    """Fails at step 3: only once if FAULT_ONCE names a file that does not exist yet, else always."""

    def step(self, action):
        obs, reward, *rest = super().step(action)
        if self.time == 3 and self.due():
            obs, reward = self.fault(obs, reward)
        return obs, reward, *rest

    def due(self):
        mark = os.environ.get("FAULT_ONCE")
        if mark:
            try:
                Path(mark).touch(exist_ok=False)
            except FileExistsError:
                return False
        return True


class Raises(Faulty):
    def fault(self, obs, reward):
        raise RuntimeError("the motor is on fire")


class Exits(Faulty):
    def fault(self, obs, reward):
        raise SystemExit(0)


class LogsWords(Steady):
    """Logs a number and values that are not numbers."""

    def step(self, action):
        *answer, info = super().step(action)
        return *answer, info | {"log_msg": "hello", "log_map": np.zeros(2)}


class GivesNaN(Faulty):
    def fault(self, obs, reward):
        return np.full(3, np.nan, np.float32), reward


class GivesNaNReward(Faulty):
    def fault(self, obs, reward):
        return obs, float("nan")


class RewardOfNone(Faulty):
    def fault(self, obs, reward):
        return obs, None


class WrongShape(Faulty):
    def fault(self, obs, reward):
        return obs[:2], reward


class WrongDtype(Faulty):
    def fault(self, obs, reward):
        return np.array(["a", "b", "c"]), reward


class Dies(Faulty):
    def fault(self, obs, reward):
        os.kill(os.getpid(), signal.SIGKILL)


class NeverResets(Steady):
    def reset(self, *, seed=None, options=None):
        raise OSError("no such simulator")


class EndsSentence(Faulty):
    def fault(self, obs, reward):
        raise RuntimeError("The light went out.")


class ExitsWhenMade(Steady):
    def __init__(self):
        raise SystemExit(0)


class Sleeps(Steady):
    def step(self, action):
        time.sleep(1000)


class Marks(Steady):
    """Creates the file MARK when it makes a step."""

    def step(self, action):
        Path(os.environ["MARK"]).touch()
        return super().step(action)


class Forgetful(Steady):
    """Ignores its seed."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=int.from_bytes(os.urandom(4), "big"))


class Ends(gymnasium.Env):
    """Ends at frame 5, terminated or truncated or both as named by the subclass."""

    observation_space = spaces.Discrete(100)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    terminated = truncated = False

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return 0, {}

    def step(self, action):
        self.time += 1
        over = self.time == 5
        return self.time, 1.0, over and self.terminated, over and self.truncated, {}


class Terminates(Ends):
    terminated = True


class Truncates(Ends):
    truncated = True


class EndsBoth(Ends):
    terminated = truncated = True


class Hangs(Faulty):
    def fault(self, obs, reward):
        time.sleep(1000)


class HangsDeaf(Faulty):
    """Blocks the alarm, like code in C."""

    def fault(self, obs, reward):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(1000)


class Changes(Faulty):
    """Fails, and has another observation space when made again."""

    def __init__(self):
        if os.environ.get("FAULT_ONCE") and Path(os.environ["FAULT_ONCE"]).exists():
            self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)

    def fault(self, obs, reward):
        raise RuntimeError("unplugged")


class GivesNone(Faulty):
    def fault(self, obs, reward):
        return None, reward


class GivesObjects(Faulty):
    def fault(self, obs, reward):
        return np.array([None, 1, 2]), reward


class RewardOfTwo(Faulty):
    def fault(self, obs, reward):
        return obs, np.ones(2)


class InvalidResult(Faulty):
    """Returns `result(...)` at the fault, which has another form."""

    def step(self, action):
        self.invalid = False
        values = super().step(action)
        return self.result(*values) if self.invalid else values

    def fault(self, obs, reward):
        self.invalid = True
        return obs, reward


class ShortAnswer(InvalidResult):
    def result(self, obs, reward, terminated, truncated, info):
        return obs, reward, terminated


class EndsMaybe(InvalidResult):
    def result(self, obs, reward, terminated, truncated, info):
        return obs, reward, np.zeros(2, bool), truncated, info


class InfoOfNone(InvalidResult):
    def result(self, obs, reward, terminated, truncated, info):
        return obs, reward, terminated, truncated, None


class Panic(BaseException):
    """Not an Exception, like a panic of a Rust extension."""


class Panics(Faulty):
    def fault(self, obs, reward):
        raise Panic("index out of bounds")


class Interrupts(Faulty):
    def fault(self, obs, reward):
        raise KeyboardInterrupt


class Wordless(Faulty):
    class Error(Exception):
        def __str__(self):
            raise AttributeError("half made")

    def fault(self, obs, reward):
        raise self.Error


class HalfCharacter(Faulty):
    def fault(self, obs, reward):
        raise OSError("no such level: \udcff")


class LogsOdd(Steady):
    """Logs a number that is too large, and one whose name cannot be encoded."""

    def step(self, action):
        *answer, info = super().step(action)
        return *answer, info | {"log_large": 10**400, "log_\udcff": 1.0}


class ForksItself(Faulty):
    """Forks a process that returns from the step; the reward is its exit code."""

    def fault(self, obs, reward):
        child = os.fork()
        if child == 0:
            raise RuntimeError("I am another process")
        return obs, float(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


class StopsChild(Faulty):
    """Forks a process and sends it SIGTERM; the reward is its exit code, 0 if it does not end."""

    def fault(self, obs, reward):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(7)
        for _ in range(40):
            os.kill(child, signal.SIGTERM)  # Python drops a signal that arrives during the fork
            time.sleep(0.05)
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return obs, float(os.waitstatus_to_exitcode(status))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return obs, 0.0


class Wanders(Steady):
    """Changes the working directory, as some simulators do to find their files."""

    def reset(self, *, seed=None, options=None):
        os.chdir(os.environ["ELSEWHERE"])
        return super().reset(seed=seed)


class OftenLost(Steady):
    """Half of the episodes, chosen by their seed, fail at step 3 after a return of 3; whole episodes return 21."""

    def reset(self, *, seed=None, options=None):
        answer = super().reset(seed=seed)
        self.whole = self.np_random.random() < 0.5
        return answer

    def step(self, action):
        answer = super().step(action)
        if self.time == 3 and not self.whole:
            raise ConnectionError("simulator lost")
        return answer


class NeverWhole(OftenLost):
    """Every episode fails at step 3."""

    def reset(self, *, seed=None, options=None):
        answer = super().reset(seed=seed)
        self.whole = False
        return answer
