"""The job files of docs/cluster.md are well-formed, and each starts all runs of its grid once."""

import re
import shlex
import subprocess

import pytest
from ruamel.yaml import YAML

import dreamer
from tests.helpers.command_line import ROOT

PAGE = (ROOT / "docs/cluster.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.S | re.M)
SCRIPTS = [text for language, text in BLOCKS if language in ("sh", "bash")]
(KUBERNETES,) = [text for language, text in BLOCKS if language == "yaml"]
(CONDOR,) = [text for language, text in BLOCKS if not language]
(SLURM,) = [text for text in SCRIPTS if "#SBATCH" in text]


def arguments(text):
    """Arguments of dreamer.py in a text, in which a backslash continues a line."""
    line = re.search(r"dreamer\.py (.*)", text.replace("\\\n", " "))[1]
    return shlex.split(line, comments=True)


def grid_size(words, capsys):
    """Return the number of runs that the command lists, and check that they are numbered from 0."""
    assert dreamer.main([*words, "--dry-run"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    numbers = [int(line.split()[1]) for line in lines if line.startswith("# ")]
    assert numbers == list(range(len(numbers)))
    assert head.startswith(f"{len(numbers)} runs")
    return len(numbers)


def without_index(words, variable):
    """Return the command of the whole grid, of a command whose --index is this variable."""
    place = words.index("--index")
    assert words[place + 1] == variable
    return [*words[:place], *words[place + 2 :]]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_have_no_syntax_error(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("script", [text for text in SCRIPTS if "--launcher" in text])
def test_commands_of_launchers_are_accepted(script, capsys):
    assert grid_size(arguments(script), capsys) > 1


def test_the_slurm_array_has_a_job_for_each_run(capsys):
    words = without_index(arguments(SLURM), "$SLURM_ARRAY_TASK_ID")
    assert int(re.search(r"--array=0-(\d+)", SLURM)[1]) == grid_size(words, capsys) - 1


def test_the_kubernetes_job_has_a_pod_for_each_run(capsys):
    job = YAML(typ="safe").load(KUBERNETES)["spec"]
    (container,) = job["template"]["spec"]["containers"]
    (script,) = container["args"]
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    words = without_index(arguments(script), "$JOB_COMPLETION_INDEX")
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == grid_size(words, capsys)
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in job["template"]["spec"]["volumes"]}


def test_the_condor_file_queues_each_run(capsys):
    keys = dict(re.findall(r"^(\w+) *= (.*)$", CONDOR, re.M))
    words = without_index(arguments(keys["arguments"]), "$(Process)")
    assert int(re.search(r"^queue (\d+)$", CONDOR, re.M)[1]) == grid_size(words, capsys)
