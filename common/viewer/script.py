"""Scripts of a film: text files with one command per line, for `--record` without a person.

    # an empty line or a comment
    set where dream        a setting: who, agent, where, view, latent, temperature, horizon
    agent 20               20 steps with the actions of the chosen agent
    random 5               5 steps with random actions
    RIGHT 10               10 steps with the action of this name
    2 10                   10 steps with action number 2
    0.5,-1 10              10 steps with these numbers, one for each dimension
    new_start              the next episode; also: full_reset, restart_dreams

Without a number of steps, a line is one step.
"""

from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.safe_io import expand_path, read_bytes
from common.viewer.actions import Actions
from common.viewer.session import Session

COMMANDS = ("new_start", "full_reset", "restart_dreams")
ACTORS = ("agent", "random")
MAX_STEPS = 3000  # of a film: all its frames are in memory
Line = tuple[int, list[str]]  # number, words


def read_script(name: str) -> list[Line]:
    """Return the lines of a script without comments. Raises UserError if it cannot be read."""
    path = expand_path(name)
    try:
        text = read_bytes(path).decode()
    except (OSError, ValueError) as error:
        raise UserError(f"The script {path} cannot be read: {error}. Give a text file with --actions FILE.") from error
    lines = [(number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1)]
    found = [(number, words) for number, words in lines if words]
    if not found:
        raise UserError(f"The script {path} has no command. `agent 20` is one: 20 steps of the agent.")
    return found


def run_script(session: Session, lines: Sequence[Line], source: Path | str = "script") -> None:
    """Carry out a script; the frames are in `session.history`, which keeps all of them.

    Raises:
        UserError: a line that is not a command; the message has its number.
    """
    for number, words in lines:
        try:
            run_line(session, words)
        except UserError as error:
            raise UserError(f"{source}, line {number}: {error}") from error


def run_line(session: Session, words: Sequence[str]) -> None:
    """Carry out one line of a script."""
    if words[0] == "set":
        if len(words) != 3:
            raise UserError("a setting is `set NAME VALUE`, such as `set where dream`.")
        session.change(words[1], words[2])
    elif words[0] in COMMANDS and len(words) == 1:
        getattr(session, words[0])()
    elif len(words) <= 2:
        play_line(session, words[0], step_count(words[1]) if len(words) == 2 else 1)
    else:
        raise UserError(f"expected `ACTION STEPS`, got {' '.join(words)!r}.")


def play_line(session: Session, action: str, steps: int) -> None:
    """Take steps with an action or an actor."""
    if action in ACTORS:
        session.change("who", action)
    else:
        session.hold(action_numbers(session.actions, action))
        session.change("who", "human")
    if len(session.history) + steps > MAX_STEPS:
        raise UserError(f"a film has at most {MAX_STEPS:,} steps.")
    for _ in range(steps):
        session.step()


def step_count(word: str) -> int:
    """Return a number of steps. Raises UserError for anything else."""
    if not word.isdecimal() or not 0 < int(word) <= MAX_STEPS:
        raise UserError(f"the number of steps is from 1 to {MAX_STEPS}, got {word!r}.")
    return int(word)


def action_numbers(actions: Actions, word: str) -> list[float]:
    """Return the numbers of an action, given by its name, or by numbers with commas. Raises UserError if unknown."""
    if word in actions.names:
        return [float(actions.names.index(word))]
    try:
        return [float(number) for number in word.split(",")]
    except ValueError:
        known = f"Names of actions: {', '.join(actions.names)}" if actions.names else "Actions here are numbers"
        raise UserError(f"{word!r} is not an action, agent, random or a command. {known}.") from None
