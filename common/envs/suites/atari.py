"""Atari through ale-py: atari_<game> and atari100k_<game> (the same games; the protocol is in the config).

One agent step is `repeat` frames with one action; the picture is the maximum of the last two, so that
sprites drawn every other frame are seen. With `gray` and `area` the emulator itself makes them gray before that, as
V2's code has it (Gym's AtariPreprocessing); with `gray` and `bilinear` the small picture is made gray, as in V3's.
With `area` the frame that ends an episode by a lost game or life is not looked at, as in V2's code.
"""

import difflib
import importlib.metadata

import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt import images
from common.errors import UserError

BROKEN_RELEASES = ("0.10.0", "0.10.1")  # actions have no effect or the wrong one
ALIASES = {"james_bond": "jamesbond"}


def make(name: str, config: dict) -> gymnasium.Env:
    """One game with the protocol of the config.

    Raises:
        UserError: unknown game, or a release of ale-py that acts wrongly.
    """
    version = importlib.metadata.version("ale-py")
    if version in BROKEN_RELEASES:
        raise UserError(f"ale-py {version} ignores or confuses actions. Install another: pip install 'ale-py>=0.11'")
    return Atari(_rom(ALIASES.get(name, name)), config)


class Atari(gymnasium.Env):
    """observation {"image": uint8 (size, size, 3 or 1)}, action Discrete(18), in Skiing 9, or the game's own subset.

    Lost games are terminal, the time limit only with `timeout_terminal`; with `life_loss: end` so is a lost life.
    """

    def __init__(self, rom: str, config: dict):
        self.rom, self.config = rom, config
        self.ale = _emulator(config["sticky"])
        self.ale.loadROM(rom)
        minimal = config["actions"] == "minimal"
        actions = self.ale.getMinimalActionSet() if minimal else self.ale.getLegalActionSet()
        self.actions = [int(action.value) for action in actions]
        self.frame = self.lives = 0
        self.action_space = spaces.Discrete(len(self.actions))
        self._first_look()
        self.observation_space = spaces.Dict({"image": spaces.Box(0, 255, self._observe()["image"].shape, np.uint8)})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        start, noops = draw_episode_start(self.np_random, self.config)
        self.ale.setInt("random_seed", start)
        self.ale.loadROM(self.rom)  # the only way to reseed the sticky actions
        self._no_ops(noops)
        self.frame, self.lives = 0, self.ale.lives()
        self._first_look()
        return self._observe(), {}

    def step(self, action):
        total, lost, late = 0.0, False, False
        for left in reversed(range(self.config["repeat"])):
            total += self.ale.act(self.actions[int(action)])  # ints: some releases confuse enums
            self.frame += 1
            lost = self.ale.game_over(with_truncation=False) or self._life_lost()
            late = 0 < self.config["time_limit"] <= self.frame
            self._look(0 if late else left, lost)
            if lost or late:
                break
        terminated = lost or (late and self.config["timeout_terminal"])
        return self._observe(), total, terminated, late and not terminated, {}

    def _no_ops(self, number):
        self.ale.reset_game()
        for _ in range(number):
            self.ale.act(0)
            if self.ale.game_over(with_truncation=False):
                self.ale.reset_game()

    def _life_lost(self):
        before, self.lives = self.lives, self.ale.lives()
        return self.config["life_loss"] == "end" and self.lives < before

    def _screen(self):
        if self.config["gray"] and self.config["resize"] == "area":
            return self.ale.getScreenGrayscale()[..., None]
        return self.ale.getScreenRGB()

    def _first_look(self):
        screen = self._screen()
        self.screens = [screen, np.zeros_like(screen)]  # what the picture is the maximum of, the newest first

    def _look(self, left, lost):
        """Take in the screen; `left` frames of the step are still to come."""
        if self.config["resize"] == "bilinear":
            self.screens = [self._screen(), self.screens[0]]
        elif left < 2 and not lost:
            self.screens[left] = self._screen()

    def _observe(self):
        screen = np.maximum(*self.screens)
        if self.config["resize"] == "area":
            self.screens[0] = screen  # stays where a step ends before it takes in another, as in V2's code
        return {"image": images.fit_image(screen, self.config["size"], self.config["gray"], self.config["resize"])}


def draw_episode_start(rng: np.random.Generator, config: dict) -> tuple[int, int]:
    """Seed of the emulator for an episode, and the number of no-ops before it: from `least_noops` to `noops`.

    The number is the one that ale-py's vectorised environment draws from that seed (C++'s Mersenne twister, its first
    word scaled to 0...`noops`), so that both play the same.
    """
    least, most = min(config["least_noops"], config["noops"]), config["noops"]
    twister = np.random.RandomState()
    while True:
        seed = int(rng.integers(2**31))
        twister.seed(seed)
        noops, rest = divmod(int(twister.randint(2**32, dtype=np.uint32)) * (most + 1), 2**32)
        if noops >= least and rest > most:  # below, it would draw again to be exactly uniform
            return seed, noops


def _emulator(sticky):
    from ale_py import ALEInterface, LoggerMode

    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale = ALEInterface()
    ale.setFloat("repeat_action_probability", float(sticky))
    return ale


def _rom(game):
    from ale_py import roms

    games = roms.get_all_rom_ids()
    if game not in games:
        near = [f"atari_{close}" for close in difflib.get_close_matches(game, games, n=3, cutoff=0.3)]
        raise UserError(f"ale-py has no game {game!r}. Nearest: {', '.join(near or sorted(games)[:3])}.")
    return str(roms.get_rom_path(game))
