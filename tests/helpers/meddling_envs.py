"""Environments that change process-wide state or start processes."""

import atexit
import gc
import io
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import gymnasium
import numpy as np
import torch


class Plain(gymnasium.Env):
    """Episodes of five steps; `start` runs at the construction, `begin` at a reset, `meddle` at each step."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        self.start()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        self.begin()
        return self.observe(), {}

    def step(self, action):
        self.time += 1
        self.meddle()
        return self.observe(), 1.0, False, self.time >= 5, {}

    def observe(self):
        return np.zeros(3, np.float32)

    def start(self):
        pass

    begin = meddle = start


class Reseeds(Plain):
    """Seeds every process-wide generator before each episode and observes numbers from them."""

    def begin(self):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)

    def observe(self):
        return np.array([random.random(), np.random.randn(), torch.rand(()).item()], np.float32)  # noqa: NPY002


class Draws(Reseeds):
    """Draws from the process-wide generators without a seed."""

    def begin(self):
        pass


class Settles(Plain):
    """Changes settings at the construction and observes whether they hold."""

    def start(self):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(3)
        torch.set_default_device("meta")
        np.seterr(all="raise")
        gc.disable()

    def observe(self):
        kept = torch.get_default_dtype() == torch.float64, not torch.is_grad_enabled(), torch.get_num_threads() == 3
        return np.array(kept, np.float32)


class SettlesMore(Plain):
    """Changes the process at the construction and observes whether that holds."""

    def start(self):
        self.folder = tempfile.mkdtemp()
        os.chdir(self.folder)
        os.umask(0o777)
        warnings.simplefilter("error")
        sys.setrecursionlimit(900)

    def observe(self):
        mask = os.umask(0)
        os.umask(mask)
        kept = os.getcwd() == self.folder, mask == 0o777, warnings.filters[0][0] == "error"
        return np.array(kept, np.float32)


class LosesFolder(Plain):
    """Deletes its working directory at the construction."""

    def start(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)


class TakesStdout(Plain):
    """Writes to the file of sys.stdout through a stream of its own."""

    def start(self):
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")


class DetachesStdout(Plain):
    """Takes the file from sys.stdout."""

    def start(self):
        sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")


class ClosesStdout(Plain):
    """Closes sys.stdout."""

    def start(self):
        sys.stdout.close()


class LingersAtExit(Plain):
    """Registers a function with atexit that does not end."""

    def start(self):
        atexit.register(time.sleep, 1000)


class TakesSignals(Plain):
    """Takes signals at every call, and blocks one."""

    def start(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    begin = meddle = start


def simulate(pipe):
    """Answer until the pipe closes, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1000)


class StartsProcesses(Plain):
    """Starts a process by fork and a program in a session of its own, notes their ids in $PIDS, and ends neither."""

    def start(self):
        pipe, _ = multiprocessing.Pipe()
        simulator = multiprocessing.Process(target=simulate, args=(pipe,))
        simulator.start()
        program = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        with open(os.environ["PIDS"], "a") as file:
            file.write(f"{simulator.pid}\n{program.pid}\n")


class LeavesThread(StartsProcesses):
    """Also leaves a thread that Python would wait for."""

    def start(self):
        super().start()
        threading.Thread(target=time.sleep, args=(1000,)).start()
