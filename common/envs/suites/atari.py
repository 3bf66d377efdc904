"""Atari through ale-py: atari_<game>, atari100k_<game> (the same games; the config has the protocol).

One agent step is `repeat` frames with one action. The image is the maximum of the last two frames, so that sprites
drawn in every other frame are visible. Grayscale depends on `resize`: with `area` the emulator converts each frame
before the maximum, as in V2's code (Gym's AtariPreprocessing); with `bilinear` the resized image is converted, as in
V3's code. With `area`, a frame that ends an episode by a lost game or life is not part of the image, as in V2's code.
`obs: ram` observes the 128 bytes of the console's memory in place of the image, `both` observes both.
"""

import importlib.metadata
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt import images
from common.envs.suites import unknown_task
from common.errors import UserError

BROKEN_RELEASES = ("0.10.0", "0.10.1")  # of ale-py: actions have no effect or the wrong one
OBSERVATION_KEYS = {"image": ("image",), "ram": ("ram",), "both": ("image", "ram")}
NO_VECTOR = (
    "Atari has no vector of states. For the 128 bytes of the console's memory: --env.obs ram. For images: "
    "--env.obs image. For both of them: --env.obs both."
)
ALIASES = {"james_bond": "jamesbond"}


def make(name: str, config: dict) -> gymnasium.Env:
    """Make one game with the protocol of the config.

    Raises:
        UserError: unknown game, states requested, or a release of ale-py whose actions are wrong.
    """
    if config["obs"] == "vector":
        raise UserError(NO_VECTOR)
    version = importlib.metadata.version("ale-py")
    if version in BROKEN_RELEASES:
        raise UserError(f"ale-py {version} ignores or confuses actions. Install another: pip install 'ale-py>=0.11'")
    return Atari(_rom_path(ALIASES.get(name, name)), config)


class Atari(gymnasium.Env):
    """Observations are image uint8 (size, size, 3 or 1) and ram float32 (128,), bytes as 0 to 1, by `obs`.

    Actions are Discrete(18), in Skiing 9, or the game's minimal set.
    A lost game is terminal, the time limit only with `timeout_terminal`, a lost life only with `life_loss: end`.
    """

    def __init__(self, rom: str, config: dict):
        self.rom, self.config = rom, config
        self.ale = _make_emulator(config["sticky"])
        self.ale.loadROM(rom)
        minimal = config["actions"] == "minimal"
        actions = self.ale.getMinimalActionSet() if minimal else self.ale.getLegalActionSet()
        self.actions = [int(action.value) for action in actions]
        self.action_names = [action.name for action in actions]
        self.frame = self.lives = 0
        self.action_space = spaces.Discrete(len(self.actions))
        self._reset_screens()
        image, ram = self._image().shape, self._ram().shape
        views: dict[str, Any] = {"image": spaces.Box(0, 255, image, np.uint8), "ram": spaces.Box(0, 1, ram, np.float32)}
        self.keys = OBSERVATION_KEYS[config["obs"]]
        self.observation_space = spaces.Dict({key: views[key] for key in self.keys})

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        emulator_seed, noops = draw_episode_start(self.np_random, self.config)
        self.ale.setInt("random_seed", emulator_seed)
        self.ale.loadROM(self.rom)  # the only way to seed the sticky actions again
        self._play_noops(noops)
        self.frame, self.lives = 0, self.ale.lives()
        self._reset_screens()
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict, float, bool, bool, dict]:
        total, lost, timeout = 0.0, False, False
        for remaining in reversed(range(self.config["repeat"])):
            total += self.ale.act(self.actions[int(action)])  # ints: some releases confuse enums
            self.frame += 1
            lost = self.ale.game_over(with_truncation=False) or self._life_lost()
            timeout = 0 < self.config["time_limit"] <= self.frame
            self._store_screen(0 if timeout else remaining, lost)
            if lost or timeout:
                break
        terminated = lost or (timeout and self.config["timeout_terminal"])
        return self._observe(), total, terminated, timeout and not terminated, {}

    def _play_noops(self, number: int) -> None:
        self.ale.reset_game()
        for _ in range(number):
            self.ale.act(0)
            if self.ale.game_over(with_truncation=False):
                self.ale.reset_game()

    def _life_lost(self) -> bool:
        before, self.lives = self.lives, self.ale.lives()
        return self.config["life_loss"] == "end" and self.lives < before

    def _screen(self) -> np.ndarray:
        if self.config["gray"] and self.config["resize"] == "area":
            return self.ale.getScreenGrayscale()[..., None]
        return self.ale.getScreenRGB()

    def _reset_screens(self) -> None:
        screen = self._screen()
        self.screens = [screen, np.zeros_like(screen)]  # the image is their maximum; the newest comes first

    def _store_screen(self, remaining: int, lost: bool) -> None:
        """Store the screen if it is part of the image; `remaining` frames of the step follow."""
        if self.config["resize"] == "bilinear":
            self.screens = [self._screen(), self.screens[0]]
        elif remaining < 2 and not lost:
            self.screens[remaining] = self._screen()

    def render(self) -> Any:
        """Return the screen, uint8 (210, 160, 3); in some games it has another height."""
        return self.ale.getScreenRGB()

    def _observe(self) -> dict[str, np.ndarray]:
        views = {"image": self._image, "ram": self._ram}
        return {key: views[key]() for key in self.keys}

    def _ram(self) -> np.ndarray:
        return self.ale.getRAM().astype(np.float32) / 255

    def _image(self) -> np.ndarray:
        screen = np.maximum(*self.screens)
        if self.config["resize"] == "area":
            self.screens[0] = screen  # kept if the next step ends before it stores a screen, as in V2's code
        return images.fit_image(screen, self.config["size"], self.config["gray"], self.config["resize"])


def draw_episode_start(rng: np.random.Generator, config: dict) -> tuple[int, int]:
    """Draw the emulator's seed for an episode, and the number of no-ops before it, from `least_noops` to `noops`.

    The number is the one that ale-py's vectorized environment draws from that seed (C++'s Mersenne twister, its first
    word scaled to 0...`noops`), so that both start identically.
    """
    least, most = min(config["least_noops"], config["noops"]), config["noops"]
    twister = np.random.RandomState()
    while True:
        seed = int(rng.integers(2**31))
        twister.seed(seed)
        noops, rest = divmod(int(twister.randint(2**32, dtype=np.uint32)) * (most + 1), 2**32)
        if noops >= least and rest > most:  # for a smaller rest ale-py draws again, to be exactly uniform
            return seed, noops


def _make_emulator(sticky: float) -> Any:
    from ale_py import ALEInterface, LoggerMode

    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale = ALEInterface()
    ale.setFloat("repeat_action_probability", float(sticky))
    return ale


def _rom_path(game: str) -> str:
    from ale_py import roms

    games = roms.get_all_rom_ids()
    if game not in games:
        raise unknown_task("atari", game, games)
    return str(roms.get_rom_path(game))
