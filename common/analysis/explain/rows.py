"""Keys of one or more configs with their values and explanations, before they become text."""

from collections.abc import Iterable
from typing import NamedTuple

from common.analysis.explain.entries import Explanation, find_entry, part_file, part_keys, part_names, sort_keys
from common.config import parts
from common.config.config import flatten
from common.config.formatting import format_value
from common.errors import UserError

ABSENT = "–"
#: For keys in the config of an older or newer version of the program.
UNKNOWN_KEY = Explanation("Other", "not a key of this version of the program")

NO_ENTRY = "no entry in configs/explain"


class Note(NamedTuple):
    """An explanation with its title (empty for the key itself) and the implementing files."""

    title: str
    entry: Explanation
    files: list[str]


class KeyRow(NamedTuple):
    """A key, its value in each config as text, and notes on the key itself and on the parts that it names."""

    key: str
    values: list[str]
    notes: list[Note]

    @property
    def concept(self) -> str:
        return self.notes[0].entry.concept


def differing(configs: list[dict]) -> list[str]:
    """Return the keys whose values are not the same in all configs."""
    flats = [flatten(config) for config in configs]
    every = dict.fromkeys(key for flat in flats for key in flat)
    return [key for key in every if len({repr(flat.get(key)) for flat in flats}) > 1]


def rows(configs: list[dict], keys: Iterable[str]) -> list[KeyRow]:
    """Return one row for each key, concept by concept."""
    flats = [flatten(config) for config in configs]
    return [KeyRow(key, values(key, flats), notes(key, configs)) for key in sort_keys(keys)]


def values(key: str, flats: list[dict]) -> list[str]:
    """Return the value of a key in each flat config, rounded unless rounding makes different values look equal."""
    short, full = ([text(flat[key]) if key in flat else ABSENT for flat in flats] for text in (format_value, str))
    return short if len(set(short)) == len(set(full)) else full


def notes(key: str, configs: list[dict]) -> list[Note]:
    """Return the explanations of a key and of the parts that it names in the configs."""
    seam, _, option = key.partition(".")
    try:
        own = find_entry(key)
    except UserError:
        own = UNKNOWN_KEY
    if seam not in parts.PARTS:
        return [Note("", own, [own.file] if own.file else [])]
    files = {name: part_file(name) for name in _parts_with_key(seam, key, configs)}
    if files and own is UNKNOWN_KEY:
        own = Explanation("Other", NO_ENTRY)
    if option == "use":
        return [
            Note("", own, []),
            *(Note(name.partition(".")[2], _part_entry(name), [file]) for name, file in files.items()),
        ]
    return [Note("", own, list(dict.fromkeys(files.values())))]


def _part_entry(name: str) -> Explanation:
    """Return the entry of the part SEAM.CLASS, or a text without one."""
    try:
        return find_entry(name)
    except UserError:
        return Explanation("Other", NO_ENTRY)


def _parts_with_key(seam: str, key: str, configs: list[dict]) -> list[str]:
    """Return SEAM.CLASS of the used parts that have this key; of all parts that have it if none is used."""
    used = {f"{seam}.{config[seam]['use']}" for config in configs if seam in config}
    own = sorted(name for name in used if ":" in name)
    every = dict.fromkeys([name for name in part_names() if name.startswith(f"{seam}.")] + own)
    names = [name for name in every if key in part_keys(name)]
    return [name for name in names if name in used] or names
