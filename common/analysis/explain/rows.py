"""What there is to say about keys of one or more configs, before it becomes text."""

from collections.abc import Iterable
from typing import NamedTuple

from common.analysis.explain.entries import Explanation, entry, in_order, part_file, part_keys, part_names
from common.config import parts
from common.config.config import flatten
from common.config.formatting import format_value
from common.errors import UserError

ABSENT = "–"
#: Of keys that this program does not know, in the config of an older or newer one.
UNKNOWN_KEY = Explanation("Other", "not a key of this version of the program")


class Note(NamedTuple):
    """An entry with its title (empty for that of the key itself) and the files that implement it."""

    title: str
    entry: Explanation
    files: list[str]


class KeyRow(NamedTuple):
    """A key, its value in each config as text, and the notes about it: its own, then those of the parts named."""

    key: str
    values: list[str]
    notes: list[Note]

    @property
    def concept(self) -> str:
        return self.notes[0].entry.concept

    @property
    def same(self) -> bool:
        """Whether all configs have one value."""
        return len(set(self.values)) == 1


def differing(configs: list[dict]) -> list[str]:
    """Keys that do not have one value in all configs."""
    flats = [flatten(config) for config in configs]
    every = dict.fromkeys(key for flat in flats for key in flat)
    return [key for key in every if len({repr(flat.get(key)) for flat in flats}) > 1]


def rows(configs: list[dict], keys: Iterable[str]) -> list[KeyRow]:
    """One row for each key, concept by concept."""
    flats = [flatten(config) for config in configs]
    return [KeyRow(key, values(key, flats), notes(key, configs)) for key in in_order(keys)]


def values(key: str, flats: list[dict]) -> list[str]:
    """Value of a key in each flat config, in few digits where these tell the values apart."""
    texts = lambda text: [text(flat[key]) if key in flat else ABSENT for flat in flats]
    short, full = texts(format_value), texts(str)
    return short if len(set(short)) == len(set(full)) else full


def notes(key: str, configs: list[dict]) -> list[Note]:
    """What is known of a key, and of the parts that it names in the configs."""
    seam, _, option = key.partition(".")
    own = known(key)
    if seam not in parts.PARTS:
        return [Note("", own, [own.file] if own.file else [])]
    files = {name: part_file(name) for name in owners(seam, key, configs)}
    if option == "use":
        return [Note("", own, []), *(Note(name.split(".")[1], entry(name), [file]) for name, file in files.items())]
    return [Note("", own, list(dict.fromkeys(files.values())))]


def owners(seam: str, key: str, configs: list[dict]) -> list[str]:
    """SEAM.CLASS of the parts with this key that the configs use; of all with it, if they use none."""
    names = [name for name in part_names() if name.startswith(f"{seam}.") and key in part_keys(name)]
    used = {f"{seam}.{config[seam]['use']}" for config in configs if seam in config}
    return [name for name in names if name in used] or names


def known(key: str) -> Explanation:
    try:
        return entry(key)
    except UserError:
        return UNKNOWN_KEY
