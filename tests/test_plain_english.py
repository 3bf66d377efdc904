"""The repository is written in plain English: no document, docstring, comment, message or name uses a phrase of TICS.

`python tests/test_plain_english.py [PATH ...]` prints every hit in these files or folders, or in the whole repository.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".ci", ".github", "benchmarks", "common", "configs", "docs", "dreamer_v1", "dreamer_v2", "dreamer_v3")
FOLDERS += ("examples", "tests")
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".cff", ".jinja"}
SINGLE = (".ci/run", "Makefile", "results/README.md")  # the reports below results/ are records of earlier runs

#: Phrase that makes a reader stumble, as a regular expression in lower case -> what to write instead.
TICS = {
    r"mend(s|ed|ing)?": "fix, repair",
    r"(go|goes|going|went|gone) on": "continue, resume",
    r"tell|tells|telling|told": "report, print, show, pass; distinguish",
    r"beside": "next to, compared with, in addition to",
    r"but for": "except, unless",
    r"of now": "current",
    r"what(so)?ever|whoever": "any, all; if",
    r"(?<!here )(is|are|was|were) none": "does not exist, has no",
    r"(?<!here )(is|are|was|were) no(?! (longer|more|less|different|better|worse|substitute))": "is not a, has no",
    r"for ever": "indefinitely",
    r"so many": "a number of, that many, too many",
    r"lies|lie": "is in, is at, is between",
    r"(stands?|stood|standing) (in|at|on|there|where|by|below|above)(?! for)": "is in, is at",
    r"aloud": "with a message",
    r"(leave|leaves|leaving|left) ((it|them|this|these) )?away": "omit, leave out",
    r"nobody's": "without an owner",
    r"(give|gives|given|type) the same command": "rerun the same command",
    r"(say|says|said|saying) so": "reports it, prints a message",
    r"(is|are|was|were) said": "is reported, is printed",
    r"(?<=, )too(?=[.,;:)])": "also, before the verb",
    r"(come|comes|came) of": "results of",
    r"belongs? into": "belongs in, belongs to",
    r"in the end": "at the end, finally",
    r"in vain": "without success",
    r"of (ours|theirs)": "our, their",
    r"afresh|anew": "from scratch, again",
    r"thereof|hereby|herein|therein": "of it, in it",
}
#: A docstring opens with a noun phrase, an imperative or "Whether", not with a subordinate clause.
OPENING = re.compile(r'"""(?:What|Who|Whom|Of|As) ')
NOUN_OR_VERB = "open with a noun phrase or an imperative"

#: Expression for a path -> expression for a line: hits in such lines are meant literally.
EXCEPTIONS = {
    r"tests/test_plain_english\.py": r"",  # the list itself
    r".*\.py": r"\.tell\(\)",  # the position in an open file
    r"common/experiments/search/study\.py": r"self\.study\.tell\(",  # a function of Optuna
    r"common/training/health\.py": r"\"told\"",  # a key of checkpoints, which cannot be renamed
}

SEPARATOR = re.compile(r"""[\s#"_`*]+""")  # line ends in comments and strings, parts of identifiers, markup
ANY = re.compile(rf"\b(?:{'|'.join(TICS)})\b".replace("(", "(?:").replace("(?:?", "(?"))


def texts(below: Iterable[Path] = ()) -> list[Path]:
    """Files of the repository that people read; if `below` names paths, only those in or below them."""
    found = {path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES}
    found |= {path for path in ROOT.iterdir() if path.suffix in SUFFIXES} | {ROOT / name for name in SINGLE}
    chosen = {path.resolve() for path in below}
    return sorted(path for path in found if not chosen or chosen & {path, *path.parents})


def hits(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, phrase and what to write instead for each listed phrase of a text."""
    for match in OPENING.finditer(text):
        yield line_number(text, match.start()), match[0], NOUN_OR_VERB
    lower = text.replace("None", "NULL").lower()
    words = SEPARATOR.sub(" ", lower)
    for match in ANY.finditer(words):
        instead = next(new for tic, new in TICS.items() if re.compile(tic).match(words, match.start()))
        yield line_number(text, position(lower, match.start())), match[0], instead


def line_number(text: str, position: int) -> int:
    """Number of the line, counted from 1, that holds a position."""
    return text.count("\n", 0, position) + 1


def position(text: str, collapsed: int) -> int:
    """Position in a text of a position in the same text with every separator collapsed to a space."""
    for match in SEPARATOR.finditer(text):
        if match.start() >= collapsed:
            break
        collapsed += len(match[0]) - 1
    return collapsed


def findings(path: Path) -> list[str]:
    """One line for each hit in a file that EXCEPTIONS does not name."""
    text, name = path.read_text(), path.relative_to(ROOT).as_posix()
    allowed = [line for place, line in EXCEPTIONS.items() if re.fullmatch(place, name)]
    found, lines = [], text.split("\n")
    for number, phrase, instead in sorted(hits(text)):
        if not any(re.search(line, lines[number - 1]) for line in allowed):
            found.append(f"{name}:{number}: {phrase.strip()!r}: {instead}")
    return found


def test_no_text_uses_a_listed_phrase():
    found = [finding for path in texts() for finding in findings(path)]
    assert not found, "\n".join([f"{len(found)} phrases:", *found])


def test_phrases_are_found_across_lines_and_in_names():
    text = '# It goes\n# on.\ndef test_nothing_is_told():\n    """What is `None` is none."""\n    message = "Mend "\n'
    assert sorted((number, phrase) for number, phrase, _ in hits(text)) == [
        (1, "goes on"),
        (3, "told"),
        (4, '"""What '),
        (4, "is none"),
        (5, "mend"),
    ]


def test_ordinary_english_is_not_found():
    text = "There is none. It is no longer there. Recommend besides. A stand-in. Not too many. x is None"
    assert not list(hits(text))


if __name__ == "__main__":
    for file in texts(map(Path, sys.argv[1:])):
        print(*findings(file), sep="\n", end="\n" * bool(findings(file)))
