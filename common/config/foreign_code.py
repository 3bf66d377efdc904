"""Names of code that a published config names and this program does not have: marked, so that nothing imports them.

A flag that the user types is imported as always.
"""

from typing import Any

from common.config import python_objects
from common.errors import UserError

MARK = "published_"  # in front of a name; also the prefix of a suite that does not exist
COLON = "|"


def marked(name: str) -> str:
    """Return MODULE:CLASS as a name that nothing can import."""
    return MARK + name.replace(":", COLON)


def is_marked(name: Any) -> bool:
    """Whether `marked` returned this name."""
    return isinstance(name, str) and name.startswith(MARK)


def refusal(key: str, name: str) -> UserError:
    """Return the error for marked code that is needed. key: `task`, or `SEAM.use`."""
    code = name.removeprefix(MARK).replace(COLON, ":")
    what = "an environment" if key == "task" else "a part"
    how = f"If you have that module and trust it, add the flag: --{key} {code}."
    if python_objects.is_local(code):
        how = f"No module had it. If you have its code, put it in a module, and add --{key} MODULE:CLASS."
    return UserError(
        f"This published agent was trained with {what} that is not in this program: {code}. Its code is not imported "
        f"because a published config names it. {how}"
    )
