"""The examples run: scripts of about 30 lines, and the notebook, cell by cell, with small settings."""

import json
import re
import runpy
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import dreamer
from common.config import config as configs
from tests.api.conftest import SETTINGS

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "from_data_to_report.ipynb"
MAX_LINES = 45


def main_of(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


@pytest.fixture(scope="module")
def pole(tmp_path_factory):
    return dreamer.train("v2", task="gym_CartPole-v1", logdir=tmp_path_factory.mktemp("pole"), **SETTINGS).logdir


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_they_are_short(path):
    assert len(path.read_text().splitlines()) < MAX_LINES


def test_an_own_part_is_trained_and_its_run_dreams_images(tmp_path):
    run = main_of("own_part")(logdir=tmp_path, task="dummy_pixels_30", **SETTINGS)
    assert run.finished
    assert run.config["kl"] == {"use": run.config["kl"]["use"], "scale": 0.5, "free": 0.5}
    env = dreamer.DreamEnv(tmp_path, render_mode="rgb_array")
    observation = env.reset(seed=0)[0]
    assert observation in env.observation_space
    assert np.array_equal(env.render(), observation["image"])


def test_they_act_in_one_environment_in_several_and_in_the_model(pole):
    scores = main_of("act")(pole, episodes=2)
    assert len(scores) == 2
    assert all(score > 5 for score in scores)  # no policy falls earlier
    assert main_of("batch_of_envs")(pole, number=3, steps=60) > 5
    assert len(main_of("dream_env")(pole, episodes=2, horizon=5)) == 2


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (EXAMPLES.parent / "docs" / "python.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    assert len(blocks) == 5
    names = {"__name__": "a_page", "SMALL": SETTINGS}
    for block in blocks:
        exec(block.replace('configs=["cpu"]', "**SMALL") if "train(" in block else block, names)
    assert names["config"]["run"]["envs"] == 2
    assert configs.read(tmp_path / "logs/balance/config.yaml")["kl"] == {"use": "python-object:HalfKL", "scale": 0.3}


def small_cells():
    """Return the code cells of the notebook, with other parameters in the cell that is marked so."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    marked = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    assert len(marked) == 1
    marked[0]["source"] = [f"FOLDER = 'logs'\nSETTINGS = {SETTINGS!r}\n"]
    return cells


def test_the_code_of_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", __import__("sys").path[:])
    names = {"__name__": "a_notebook"}
    with mpl.rc_context({"backend": "agg"}):
        for cell in small_cells():
            exec("".join(cell["source"]), names)
    assert (tmp_path / "logs/report/report.html").is_file()
    assert len(names["written"].numbers["runs"]) == 2
    assert {version: result["n"] for version, result in names["results"].items()} == {"v2": 5, "v3": 5}
    assert [len(points) for points in names["losses"].values()] == [3, 3]
    assert len(names["paths"]["dream"]) >= 1
    assert not any(cell["outputs"] for cell in json.loads(NOTEBOOK.read_text())["cells"] if "outputs" in cell)


def test_the_notebook_is_executed_by_a_kernel(tmp_path):
    nbformat, client = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell, small in zip((c for c in notebook.cells if c.cell_type == "code"), small_cells(), strict=True):
        cell.source = "".join(small["source"])
    notebook.cells[1].source = notebook.cells[1].source.replace('".."', repr(str(EXAMPLES.parent)))
    done = client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "logs/report/report.html").is_file()
    assert any("image/png" in output.get("data", {}) for cell in done.cells for output in cell.get("outputs", []))
