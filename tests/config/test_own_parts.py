"""A part of one's own, `--SEAM.use MODULE:CLASS`, in every command and in fresh processes."""

import subprocess
import sys

import pytest

import dreamer as program
from common.config import config as configs
from common.config import parts
from common.errors import UserError
from common.storage.logdir import config_changes, config_digest
from tests.helpers.command_line import ROOT, SHORT, run_in_new_process

SOURCE = """
class HalfKL:
    def __init__(self, *, scale: float = 0.5):
        self.scales = {"kl": scale}

    def __call__(self, latent, post, prior):
        return {"kl": latent.kl(post, prior)}


class Incomplete:
    pass
"""
USE = "half_kl_of_a_test:HalfKL"


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "half_kl_of_a_test.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("half_kl_of_a_test", None)


def test_the_config_has_its_name_and_options(module):
    config = program.resolve("v3", [], {"kl.use": USE, "kl.scale": "0.25"})
    assert config["kl"] == {"use": USE, "scale": 0.25}
    assert parts.find("kl", "./half_kl_of_a_test.py:HalfKL").__name__ == "HalfKL"
    assert program.resolve("v3", flags=configs.flatten(config)) == config


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("half_kl_of_a_test:Hlf", "has no class 'Hlf'. Its classes: HalfKL, Incomplete"),
        ("half_kl_of_a_test:Incomplete", "lacks __call__ of common.agent.interfaces.KL"),
        ("no_module_here:KL", "could not be imported from .*Run the command in the folder of the module"),
        ("./none.py:KL", "could not be imported"),
    ],
)
def test_wrong_names_are_reported(module, name, says):
    with pytest.raises(UserError, match=says):
        program.resolve("v3", [], {"kl.use": name})


def test_an_added_part_is_stored_with_its_module(module, monkeypatch):
    older = program.resolve("v3", [], {"kl.use": USE}) | {"kl": {"use": "HalfKL", "scale": 0.5}}
    with monkeypatch.context() as patch:
        patch.setitem(parts.PARTS, "kl", [*parts.PARTS["kl"], USE])
        config = program.resolve("v3", [], {"kl.use": "HalfKL"})
        assert not config_changes(older, config)
        assert config_digest(older) == config_digest(config)
    assert config["kl"]["use"] == USE
    assert parts.find("kl", config["kl"]["use"]).__name__ == "HalfKL"


def test_the_module_of_a_part_of_the_program_may_be_named(monkeypatch):
    path = parts.PARTS["kl"][-1]
    assert program.resolve("v1", [], {"kl.use": path})["kl"]["use"] == path.partition(":")[2]


@pytest.mark.long
def test_it_trains_evaluates_and_loads_in_fresh_processes(module):
    words = ["--algo", "v3", "--configs", "debug", "--task", "dummy_bandit", *SHORT, "--logdir", "run"]
    words += ["--run.compile", "off", "--kl.use", USE]
    for command in (words, [*words, "--steps", "160"], ["eval", "--logdir", "run"], ["explain", "run", "v3"]):
        done = run_in_new_process(*command, cwd=module)
        assert done.returncode == 0, done.stderr
    assert f"{USE}: no entry" in done.stdout
    code = f"import sys; sys.path.append({str(ROOT)!r}); from dreamer import load; print(load('run').keys)"
    done = subprocess.run([sys.executable, "-c", code], cwd=module, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{'vector'}", done.stderr
