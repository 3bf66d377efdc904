"""Actions that runs with different sets of named actions share: those of the smallest set.

An action outside it is taken as the one with most of its words: UPRIGHT as RIGHT in a game whose set has no UP. Between
equals, a direction counts more than FIRE.
"""

from collections.abc import Sequence

from common.errors import UserError
from common.viewer.actions import Action, Actions, keys_of_words


class EqualActions:
    """A set that is the shared one."""

    def to_own(self, action: Action) -> Action:
        """Return a shared action in this set."""
        return action

    def to_shared(self, action: Action) -> Action:
        """Return an action of this set in the shared one."""
        return action


class NamedActions(EqualActions):
    """A set that has all names of the shared one, and more."""

    def __init__(self, own: Actions, shared: Actions):
        self.own, self.shared = own, shared
        self.own_places = [own.names.index(name) for name in shared.names]
        self.shared_places = [nearest_place(name, shared.names) for name in own.names]

    def to_own(self, action: Action) -> Action:
        return self.own.action([self.own_places[int(action.numbers[0])]])

    def to_shared(self, action: Action) -> Action:
        return self.shared.action([self.shared_places[int(action.numbers[0])]])


def share_actions(sets: Sequence[Actions], owners: Sequence[str]) -> tuple[Actions, list[EqualActions]]:
    """Return the shared actions, and how each set has them.

    owners: run directory of each set, for messages.

    Raises:
        UserError: a set does not have the names of the smallest one.
    """
    shared = min(sets, key=lambda one: sum(one.classes))
    found: list[EqualActions] = []
    for one, owner in zip(sets, owners, strict=True):
        if (one.classes, one.width, one.names) == (shared.classes, shared.width, shared.names):
            found.append(EqualActions())
        elif shared.names and set(shared.names) <= set(one.names):
            found.append(NamedActions(one, shared))
        else:
            raise UserError(
                f"{owners[sets.index(shared)]} and {owner} differ in their actions and the names of these. "
                f"Show them separately: --logdir {owner}."
            )
    return shared, found


def nearest_place(name: str, names: Sequence[str]) -> int:
    """Return the place of a name in `names`, or of the one with most of its words and no others."""
    if name in names:
        return names.index(name)
    words = set(keys_of_words(name))
    fitting = [place for place, other in enumerate(names) if set(keys_of_words(other)) <= words]

    def likeness(place: int) -> tuple[int, bool]:
        own = keys_of_words(names[place])
        return len(own), "Space" not in own

    return max(fitting, key=likeness, default=0)
