"""What README.md and docs/ say is true: their commands run, their files exist, their table and glossary are complete.

Commands in ```bash blocks run in order, in one folder, after the ```python blocks that begin with the name of a file
were written there. Training is cut short: the block `debug` and the flags SHORT come last. Grids are only listed.
"""

import json
import re
import shlex

import pytest

import dreamer as program
from common.commands.table import render
from common.envs.suites import dmc
from common.errors import UserError
from tests.helpers.command_line import ROOT, SHORT, forked, here

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
START = "python dreamer.py"

#: Command lines that are well known from other Dreamer repositories; they must work here.
FAMILIAR = [
    "--algo v2 --configs atari100k --task atari_pong --logdir ./logdir/atari_pong",
    "--configs atari100k --task atari_pong --logdir ./logdir/atari_pong",
    "--algo v2 --logdir ~/logdir/atari_pong/dreamerv2/1 --configs defaults atari --task atari_pong",
    "--configs dmc_vision --task dmc_walker_walk --logdir ./logdir/dmc_walker_walk",
    "--algo v3 --task dmc_acrobot_swingup --logdir logs/acrobot --envs 2",
]  # two more in commands/test_legacy_cli.py


#: Commands of the documents that other tests run.
ELSEWHERE = {"doctor": "commands/test_doctor.py"}


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.S | re.M)


def commands(path):
    lines = [line for block in blocks(path, "bash") for line in block.splitlines()]
    return [shlex.split(line.removeprefix(START), comments=True) for line in lines if line.startswith(START)]


def shortened(words):
    """A training command made small, a grid of them listed, any other as it is."""
    if "dry-run" in program.command_options(words[0] if words[0] in program.TOOLS else "train"):
        return [*words, "--dry-run"]
    if words[0] == "plan":
        return [*words, "--configs", "debug", "--updates", "1"]
    if words[0] in program.COMMANDS | program.TOOLS or words[0] == "--help":
        return words
    words = list(words) if "--configs" in words else [*words, "--configs"]
    end = words.index("--configs") + 1
    while end < len(words) and not words[end].startswith("--"):
        end += 1
    return [*words[:end], "debug", *words[end:], *SHORT]


def trains(words):
    """Whether a command works with an agent, and so needs a process of its own."""
    quiet = {"--help", "config", *program.TOOLS}
    return words[0] not in quiet


def draws(words):
    """Whether a renderer is needed."""
    pixels = "dmc_vision" in words and words[0] not in ("config", "table", "explain")
    return pixels and "ray" not in words and "--dry-run" not in words


@pytest.fixture(scope="module")
def renderer():
    try:
        return dmc.working_backend()
    except UserError:
        return None


@pytest.fixture
def check(tmp_path, renderer):
    """Runs a printed command in `tmp_path`; one that trains nothing in this process."""

    def run(words):
        words = shortened(words)
        words += ["--env.render", "ray"] if draws(words) and not renderer else []
        done = (forked if trains(words) else here)(*words, cwd=tmp_path)
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
        return done.stderr

    return run


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks(path, "bash")], ids=lambda path: path.name)
def test_every_printed_command_runs(path, tmp_path, check):
    for code in blocks(path, "python"):
        (tmp_path / code.split()[1]).write_text(code)
    assert commands(path)
    for words in commands(path):
        if words[0] not in ELSEWHERE:
            check(words)


@pytest.mark.parametrize("line", FAMILIAR)
def test_familiar_commands_run(line, check, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    said = check(line.split())
    assert ("No --algo given: this is v3. Others: v1, v2, v3-2023." in said) == ("--algo" not in line)
    assert (tmp_path / line.split("--logdir ")[1].split()[0].replace("~/", "") / "checkpoints").is_dir()


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_file_named_exists(path):
    text = re.sub(r"<!-- demo -->.*?<!-- /demo -->", "", path.read_text(), flags=re.S)
    named = re.findall(r"`((?:common|configs|dreamer_v\d|tests|docs)/[\w./]+|dreamer\.py)`", text)
    linked = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target]
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [target for target in linked if not (path.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_key_named_exists(path):
    """`group.key` in the documents is a config key of some version, another name for one, or an option of a part."""
    seams = program.configs.parts.PARTS
    keys = set(program.SHORT_FLAGS) | {
        key for algo in program.ALGOS for key in program.configs.flatten(program.resolve(algo))
    }
    for seam, paths in seams.items():
        for name in (path.split(":")[1] for path in paths):
            keys |= {
                f"{seam}.{option}" for option in program.configs.parts.options(program.configs.parts.find(seam, name))
            }
    groups = {key.split(".")[0] for key in keys if "." in key}
    named = re.findall(r"[`-]((?:[a-z_]+\.)+[a-z_]+)[ `]", path.read_text())
    named = [name for name in named if not name.endswith((".json", ".yaml"))]
    wrong = [name for name in named if name.split(".")[0] in groups and name not in keys]
    assert not [name for name in wrong if not any(key.startswith(f"{name}.") for key in keys)]


def test_the_feature_table_of_the_readme_is_fresh():
    table = re.search(r"<!-- features -->\n(.*?)\n<!-- /features -->", (ROOT / "README.md").read_text(), re.S)
    fresh = render({algo: program.resolve(algo, ["dmc_vision"]) for algo in program.ALGOS})
    assert table[1] == fresh, "Paste the output of `python dreamer.py table --configs dmc_vision` between the markers."


def glossary():
    """Patterns of the metric names in docs/metrics.md; `<key>` fits any name."""
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    return {name: re.compile(re.sub(r"<\w+>", ".+", name)) for name in rows}


def test_the_glossary_knows_every_metric_and_no_other(tmp_path):
    written = set()
    for algo in program.ALGOS:
        task = "dummy_mixed_10_box" if algo == "v3" else "dummy_mixed_10"
        words = ["--algo", algo, "--configs", "debug", "--task", task, "--steps", "500", "--logdir", algo]
        done = forked(*words, "--replay.capacity", "2000", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        written |= {name for line in (tmp_path / algo / "metrics.jsonl").open() for name in json.loads(line)}
    known = glossary()
    exact = {name for name in written if name in known}
    assert not [name for name in written - exact if not any(known[key].fullmatch(name) for key in known)]
    assert not [name for name in known if name not in exact and "<" not in name]


def test_config_prints_what_training_would_use(tmp_path):
    words = ["--algo", "v2", "--configs", "atari", "paper", "--task", "atari_pong", "--seed", "7", "--envs", "3"]
    (tmp_path / "printed.yaml").write_text(here("config", *words, cwd=tmp_path).stdout)
    expected = program.resolve("v2", ["atari", "paper"], {"task": "atari_pong", "seed": "7", "run.envs": "3"})
    assert program.configs.read(tmp_path / "printed.yaml") == expected


def test_the_last_of_a_repeated_flag_counts_and_blocks_add_up(tmp_path):
    words = ["--algo", "v2", "--configs", "atari", "--seed", "1", "--configs", "paper", "--seed=2", "--algo", "v2"]
    (tmp_path / "printed.yaml").write_text(here("config", *words, cwd=tmp_path).stdout)
    expected = program.resolve("v2", ["atari", "paper"], {"seed": "2"})
    assert program.configs.read(tmp_path / "printed.yaml") == expected


def test_help_names_commands_blocks_and_features(tmp_path):
    done = here("--help", cwd=tmp_path)
    assert done.returncode == 0
    named = (*program.COMMANDS, *program.TOOLS, "dmc_vision", "size12m", "retnorm", "--envs")
    assert all(word in done.stdout for word in named)
