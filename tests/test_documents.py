"""README.md and docs/ are correct: commands run, files, keys and headings exist, generated pages are up to date.

The commands in ```bash blocks of a document run in order, in one folder. Before that, each ```python or ```yaml block
that begins with a comment of a file name is written to that file. Training is shortened with the block `debug` and the
flags SHORT. Commands that train several runs only list them.
"""

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest

import dreamer as program
from common.commands.command_line import FLAG_ALIASES
from common.config import config as configs
from common.config import features, parts
from common.envs.suites import dmc
from common.errors import UserError
from tests.helpers import file_table
from tests.helpers.command_line import ROOT, SHORT, run_in_fork, run_in_this_process

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
PROGRAM = "python dreamer.py"
MAX_README_WORDS = 1200
PLACEHOLDER = re.compile(r"v[N4-9]")  # in names of files of a version that a reader may add

#: Command lines that other Dreamer repositories print; they must work here.
FAMILIAR = [
    "--algo v2 --configs atari100k --task atari_pong --logdir ./logdir/atari_pong",
    "--configs atari100k --task atari_pong --logdir ./logdir/atari_pong",
    "--algo v2 --logdir ~/logdir/atari_pong/dreamerv2/1 --configs defaults atari --task atari_pong",
    "--configs dmc_vision --task dmc_walker_walk --logdir ./logdir/dmc_walker_walk",
    "--algo v3 --task dmc_acrobot_swingup --logdir logs/acrobot --envs 2",
]  # two more in commands/test_legacy_cli.py

#: Commands that train several runs.
GRIDS = {"ablate", "bench", "compare", "demo", "ladder", "sweep", "wm-eval"}

#: Commands in the documents that other tests run.
TESTED_ELSEWHERE = {"doctor": "commands/test_doctor.py"}


def code_blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.S | re.M)


def commands(path: Path) -> list[list[str]]:
    """Arguments of each command line in the ```bash blocks of a document."""
    lines = [line for block in code_blocks(path, "bash") for line in block.splitlines()]
    return [shlex.split(line.removeprefix(PROGRAM), comments=True) for line in lines if line.startswith(PROGRAM)]


def trains(words: list[str]) -> bool:
    """Whether a command is `train`, which is also the default."""
    return words[0] == "train" or (words[0].startswith("--") and words[0] != "--help")


def shortened(words: list[str]) -> list[str]:
    """Arguments with less work: small training, a list instead of a grid; other commands are unchanged."""
    if words[0] in GRIDS:
        return [*words, "--dry-run"]
    if words[0] == "plan":
        return [*words, "--configs", "debug", "--updates", "1"]
    if not trains(words):
        return words
    words = list(words) if "--configs" in words else [*words, "--configs"]
    end = words.index("--configs") + 1
    while end < len(words) and not words[end].startswith("--"):
        end += 1
    return [*words[:end], "debug", *words[end:], *SHORT]


def needs_process(words: list[str]) -> bool:
    """Whether a command computes with an agent and must not share the process of the tests."""
    return trains(words) or words[0] in ("eval", "speed", "dream")


def needs_renderer(words: list[str]) -> bool:
    images = "dmc_vision" in words and words[0] not in ("config", "table", "explain")
    return images and "ray" not in words and "--dry-run" not in words


@pytest.fixture(scope="module")
def renderer():
    try:
        return dmc.working_backend()
    except UserError:
        return None


@pytest.fixture
def run(tmp_path, renderer):
    """Run a command in `tmp_path`, check that it succeeds, and return its stderr."""

    def run(words):
        words = shortened(words)
        words += ["--env.render", "ray"] if needs_renderer(words) and not renderer else []
        done = (run_in_fork if needs_process(words) else run_in_this_process)(*words, cwd=tmp_path)
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
        return done.stderr

    return run


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if commands(path)], ids=lambda path: path.name)
def test_every_printed_command_runs(path, tmp_path, run):
    for code in code_blocks(path, "python") + code_blocks(path, "yaml"):
        if code.startswith("# "):
            (tmp_path / code.split()[1]).write_text(code)
    for words in commands(path):
        if words[0] not in TESTED_ELSEWHERE:
            run(words)


@pytest.mark.parametrize("line", FAMILIAR)
def test_familiar_commands_run(line, run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    printed = run(line.split())
    assert ("No --algo given: this is v3. Others: v1, v2, v3-2023." in printed) == ("--algo" not in line)
    assert (tmp_path / line.split("--logdir ")[1].split()[0].replace("~/", "") / "checkpoints").is_dir()


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_named_files_and_links_exist(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M)
    named = re.findall(r"`((?:common|configs|dreamer_v\d|tests|docs)/[\w./]+|dreamer\.py)`", text)
    missing = [name for name in named if not (ROOT / name).exists() and not PLACEHOLDER.search(name)]
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        file = path.parent / target if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(f"{target}#{anchor}")
    assert not missing


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
    titles = [re.sub(r"\]\([^)]*\)", "", title) for title in titles]
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= MAX_README_WORDS


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_a_document_has_a_text(path):
    assert len(path.read_text().split()) > 100


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_a_report_is_a_page_only(path):
    """Messages are printed, scores are published: no other use of the word."""
    assert not re.findall(r"\breport(?:ed|ing|s (?:it|this|that|problems|each|\d+))\b.{0,30}", path.read_text())


def test_the_picture_names_features():
    rows = runpy.run_path(str(ROOT / "docs" / "draw_method.py"))["ROWS"]
    assert {name for row in rows for name in row[0].split(", ")} <= set(features.FEATURES)


def test_every_page_is_linked():
    links = {
        (path.parent / target).resolve()
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#:]+)", path.read_text())
    }
    assert not set((ROOT / "docs").glob("*.md")) - links


def test_the_table_of_files_is_up_to_date():
    assert file_table.PAGE.read_text() == file_table.page(), "Run `python -m tests.helpers.file_table`."


def test_the_table_of_files_has_every_package():
    packages = {path.parent.name for path in file_table.COMMON.glob("*/__init__.py")}
    assert packages == set(file_table.ROOMS)
    assert not [path for path in file_table.COMMON.glob("**/*.py") if path.read_text() and not file_table.summary(path)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_key_named_exists(path):
    """`group.key` in a document is a config key of some version, a short name of one, or an option of a part."""
    seams = parts.PARTS
    keys = set(FLAG_ALIASES) | {key for algo in program.ALGOS for key in configs.flatten(program.resolve(algo))}
    for seam, paths in seams.items():
        for name in (path.split(":")[1] for path in paths):
            keys |= {f"{seam}.{option}" for option in parts.options(parts.find(seam, name))}
    groups = {key.split(".")[0] for key in keys if "." in key}
    named = re.findall(r"[`-]((?:[a-z_]+\.)+[a-z_]+)[ `]", path.read_text())
    named = [name for name in named if not name.endswith((".json", ".yaml"))]
    wrong = [name for name in named if name.split(".")[0] in groups and name not in keys]
    assert not [name for name in wrong if not any(key.startswith(f"{name}.") for key in keys)]


def test_the_feature_table_is_up_to_date(tmp_path):
    page = (ROOT / "docs" / "features.md").read_text()
    table = re.search(r"<!-- features -->\n(.*?)\n<!-- /features -->", page, re.S)
    fresh = run_in_this_process("table", "--configs", "dmc_vision", cwd=tmp_path).stdout.strip()
    assert table[1].strip() == fresh, "Paste the output of `python dreamer.py table --configs dmc_vision`."


def glossary():
    """Metric names in docs/metrics.md with their patterns; `<key>` stands for any name."""
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    return {name: re.compile(re.sub(r"<\w+>", ".+", name)) for name in rows}


def test_the_glossary_has_every_metric_and_no_other(tmp_path):
    written = set()
    for algo in program.ALGOS:
        task = "dummy_mixed_10_box" if algo == "v3" else "dummy_mixed_10"
        words = ["--algo", algo, "--configs", "debug", "--task", task, "--steps", "500", "--logdir", algo]
        words += ["--explore.use", "Plan2Explore"] if algo == "v2" else []
        done = run_in_fork(*words, "--replay.capacity", "2000", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        written |= {name for line in (tmp_path / algo / "metrics.jsonl").open() for name in json.loads(line)}
    known = glossary()
    exact = {name for name in written if name in known}
    assert not [name for name in written - exact if not any(known[key].fullmatch(name) for key in known)]
    assert not [name for name in known if name not in exact and "<" not in name]


def test_config_prints_what_training_would_use(tmp_path):
    words = ["--algo", "v2", "--configs", "atari", "paper", "--task", "atari_pong", "--seed", "7", "--envs", "3"]
    (tmp_path / "printed.yaml").write_text(run_in_this_process("config", *words, cwd=tmp_path).stdout)
    expected = program.resolve("v2", ["atari", "paper"], {"task": "atari_pong", "seed": "7", "run.envs": "3"})
    assert configs.read(tmp_path / "printed.yaml") == expected


def test_the_last_value_of_a_repeated_flag_wins_and_blocks_add_up(tmp_path):
    words = ["--algo", "v2", "--configs", "atari", "--seed", "1", "--configs", "paper", "--seed=2", "--algo", "v2"]
    (tmp_path / "printed.yaml").write_text(run_in_this_process("config", *words, cwd=tmp_path).stdout)
    expected = program.resolve("v2", ["atari", "paper"], {"seed": "2"})
    assert configs.read(tmp_path / "printed.yaml") == expected
