"""Published agents made by others: nothing that they name is imported; malformed ones end in one message."""

import shutil
import sys
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.errors import UserError
from common.storage import run_source
from common.storage.publication import WEIGHTS_FILE, checksum
from dreamer import load
from tests.helpers.command_line import expect_error
from tests.helpers.saved_runs import say, untrained

TASK = "dummy_point_6"
TRAP = "from pathlib import Path\nPath(__file__).with_name('imported').touch()\n"
OWN = """
from common.envs import DEFAULTS
from common.envs.suites.dummy import make


def env():
    return make("point_6", {**DEFAULTS, "obs": "vector"})
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    untrained(folder / "run", "v3", TASK)
    assert say("push", folder / "run", folder / "agent") == 0
    return folder / "agent"


@pytest.fixture
def agent(made, tmp_path, monkeypatch):
    """Return a published agent in a folder of its own, which is the current one and has a module `trap`."""
    shutil.copytree(made, tmp_path / "agent")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap.py").write_text(TRAP)
    yield tmp_path / "agent"
    sys.modules.pop("trap", None)
    assert not (tmp_path / "imported").exists()


def edit(agent, *pairs):
    text = (agent / "config.yaml").read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    (agent / "config.yaml").write_text(text)


def policy_acts(source):
    policy = load(source)
    return policy({"vector": torch.zeros(2).numpy()})[0].shape == (1,)


def test_an_environment_is_not_imported_until_the_user_types_it(agent, capsys):
    edit(agent, (f"task: {TASK}", "task: trap:Env"))
    assert policy_acts(agent)
    for command in ("eval", "dream"):
        extra = [] if command == "eval" else ["--record", "x.gif", "--steps", 2]
        expect_error(command, "--logdir", agent, *extra, cwd=agent.parent, says=["trap:Env", "--task trap:Env"])
    (agent.parent / "own_module.py").write_text(OWN)
    assert say("eval", "--logdir", agent, "--episodes", 1, "--task", "own_module:env") == 0
    assert "eval own_module:env v3 at frame 70" in capsys.readouterr().out
    assert say("dream", "--logdir", agent, "--record", "x.gif", "--steps", 2, "--task", "own_module:env") == 0


@pytest.mark.parametrize("seam", ["kl", "order", "reward"])
def test_a_part_that_only_learns_is_not_imported_and_not_needed_to_act(agent, seam):
    block = next(block for block in (agent / "config.yaml").read_text().split(f"\n{seam}:\n")[1].split("\n"))
    edit(agent, (f"\n{seam}:\n{block}", f"\n{seam}:\n  use: trap:Part"))
    assert policy_acts(agent)
    expect_error("eval", "--logdir", agent, cwd=agent.parent, says=[f"--{seam}.use trap:Part", "not imported"])


def test_a_class_that_could_not_be_imported_even_there_has_no_flag_with_its_name(agent):
    edit(agent, (f"task: {TASK}", "task: python-object:Env"))
    message = expect_error("eval", "--logdir", agent, cwd=agent.parent, says="--task MODULE:CLASS")
    assert "--task python-object" not in message


def test_a_part_that_acts_is_not_imported_but_named(agent):
    edit(agent, ("  use: Categorical", "  use: trap:Part"))
    with pytest.raises(UserError, match=r"trap:Part.*--latent.use trap:Part"):
        load(agent)
    assert say("explain", agent) == 0


def test_weights_that_do_not_fit_are_refused_before_memory_is_taken(agent):
    edit(agent, ("  deter: 16", "  deter: 100000"), ("  hidden: 8\n", "  hidden: 100000\n"))
    expect_error("eval", "--logdir", agent, cwd=agent.parent, says="do not fit its config and spaces")
    with pytest.raises(UserError, match="does not fit its config"):
        load(agent)


@pytest.mark.parametrize("change", [("rssm:\n", "others:\n"), ("  deter: 16", "  deter: [1]")])
def test_a_config_without_a_key_or_with_another_type_is_named(agent, change):
    edit(agent, change)
    with pytest.raises(UserError, match="is not a checkpoint of this run"):
        load(agent)
    assert say("eval", "--logdir", agent) == 2


def test_more_layers_than_weights_are_refused_at_once(agent):
    edit(agent, ("    layers: 1\n", "    layers: 1000\n"))
    expect_error("eval", "--logdir", agent, cwd=agent.parent, says="layers is 1000")
    with pytest.raises(UserError, match="layers is 1000"):
        load(agent)


def changed(path, metadata=None, **tensors):
    """Replace tensors of a file of weights; None removes one."""
    found = load_file(path) | tensors
    kept = {key: value for key, value in found.items() if value is not None}
    header = metadata or {"dreamer-hub-1": '{"frames": 70, "sha256": "CHECKSUM"}'}
    save_file(kept, path, {key: text.replace("CHECKSUM", checksum(kept.items())) for key, text in header.items()})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"world.rssm.initial": torch.full((1,), torch.nan)}, "not finite"),
        ({"world.new": torch.zeros(2, dtype=torch.complex64)}, "complex64"),
        ({"metadata": {"format": "pt"}}, "did not write it"),
        ({"metadata": {"dreamer-hub-1": '{"frames": -3, "sha256": "CHECKSUM"}'}}, "-3"),
        ({"metadata": {"dreamer-hub-1": "[" * 99999}}, "nested"),
        ({"metadata": {"dreamer-hub-1": '{"frames": 70}'}}, "no sha256"),
    ],
    ids=["nan", "dtype", "writer", "frames", "deep", "checksum"],
)
def test_malformed_weights_are_named(agent, change, says):
    changed(agent / WEIGHTS_FILE, **change)
    expect_error("eval", "--logdir", agent, cwd=agent.parent, says=says)
    with pytest.raises(UserError, match=says):
        load(agent)


def test_weights_that_are_a_pickle_or_cut_off_are_refused(agent):
    whole = (agent / WEIGHTS_FILE).read_bytes()
    for data in (whole[:1000], whole[:-7], b"", b"\x80\x04\x95" + b"x" * 99):
        (agent / WEIGHTS_FILE).write_bytes(data)
        with pytest.raises(UserError, match="cannot be read"):
            load(agent)


def test_a_changed_bit_of_the_weights_is_found(agent):
    """The last byte of the file belongs to a weight; the changed number is finite."""
    data = bytearray((agent / WEIGHTS_FILE).read_bytes())
    data[-4] ^= 1
    (agent / WEIGHTS_FILE).write_bytes(data)
    expect_error(
        "eval", "--logdir", agent, cwd=agent.parent, says=["checksum", "the file is damaged", "copy the agent again"]
    )
    with pytest.raises(UserError, match="checksum"):
        load(agent)


def archive(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


@pytest.fixture
def files(made):
    return {path.name: path.read_bytes() for path in made.iterdir()}


def test_files_at_the_top_or_in_one_folder_of_an_archive_are_read(files, tmp_path):
    other = {"notes/config.yaml.txt": b"x", "evil.py": b"raise SystemExit"}
    assert policy_acts(archive(tmp_path / "top.zip", files | other))
    assert policy_acts(archive(tmp_path / "deep.zip", {f"a/b/{name}": data for name, data in files.items()}))


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "agent/../../x", "C:\\x", "..\\x"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(files, name, tmp_path):
    path = archive(tmp_path / "agent.zip", files | {name: b"x"})
    with pytest.raises(UserError, match="leads out of the folder"):
        load(path)


def test_an_archive_that_expands_is_refused_before_it_does(files, tmp_path, monkeypatch):
    monkeypatch.setattr(run_source, "ALWAYS_UNPACKED", 2**20)
    path = archive(tmp_path / "agent.zip", files | {"scores.jsonl": b" " * 2**24})
    with pytest.raises(UserError, match="would take"):
        load(path)
    path = archive(tmp_path / "large.zip", files | {"config.yaml": b" " * 200_000})
    with pytest.raises(UserError, match="200,000 bytes"):
        load(path)
    path = archive(tmp_path / "many.zip", files | {f"f{k}": b"" for k in range(1001)})
    with pytest.raises(UserError, match="files"):
        load(path)


def test_an_archive_that_is_damaged_or_incomplete_is_named(files, tmp_path):
    path = archive(tmp_path / "agent.zip", files)
    data = bytearray(path.read_bytes())
    (tmp_path / "short.zip").write_bytes(data[:-40])
    data[len(data) // 2] ^= 255
    (tmp_path / "flipped.zip").write_bytes(data)
    del files["spaces.json"]
    archive(tmp_path / "part.zip", files)
    for name, says in {"short": "short.zip", "flipped": "flipped.zip", "part": "it has no spaces.json"}.items():
        with pytest.raises(UserError, match=says):
            load(tmp_path / f"{name}.zip")
