"""Every mistake that a user can fix: exit code 2, one message with what to type next, nothing overwritten."""

import os
import shutil
import subprocess
import sys

import pytest

import dreamer as program
from common.commands.command_line import FLAG_ALIASES, SUITE_TASKS
from common.config import versions
from common.config.config import flatten
from tests.helpers.command_line import (
    ROOT,
    SHORT,
    expect_error,
    run_in_fork,
    run_in_new_process,
    run_in_this_process,
    snapshot,
)

pytestmark = pytest.mark.xdist_group("cli_errors")  # they share a trained run

HERE = ROOT / "tests" / "helpers"
TINY = ["--configs", "debug", *SHORT]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--algo", "v3", "--batch_sise", "4"], "Did you mean batch_size"),
        (["--algo", "v3", "--configs", "size12"], "Did you mean size12m"),
        (["--algo", "v3", "--configs"], "--configs needs at least one value"),
        (["--algo", "v9"], "Did you mean v3"),
        *(
            (["--configs", block], f"--configs {block} needs --task, such as {', '.join(tasks[:2])} or {tasks[2]}.")
            for block, tasks in SUITE_TASKS.items()
        ),
        (["plan", "--configs", "atari100k", "debug"], "needs --task, such as atari100k_pong"),
        (["speed", "--configs", "atari"], "needs --task, such as atari_pong"),
        (["--dry_run"], "`python dreamer.py plan`"),
        (["--batch_sise"], "Did you mean batch_size"),
        (["task=dummy"], "Type --task dummy"),
        (["train", "task=dummy"], "Type --task dummy"),
        (["override_config=[1]"], "is not a dict of settings"),
        (["--algo"], "--algo takes one value, got none"),
        (["--algo", "v1", "v2"], "--algo takes one value, got v1 v2"),
        (["--algo", "v3", "--latent.use", "Gauss"], "latent.use must be one of Gaussian, Categorical"),
        (["trian", "--algo", "v3"], "Did you mean train"),
        (["--algo", "v3", "--features", "retnrom=v2"], "Did you mean retnorm"),
        (["--algo", "v3", "--features", "retnorm"], "NAME=VERSION, such as retnorm=v2"),
        (["--algo", "v3", "--features", "retnorm=v9"], "Unknown version 'v9'"),
        (["--algo", "v3", "--batch_size", "many"], "batch_size expects int"),
        (["--algo", "v3", "--env.gray", "off"], "env.gray expects true or false"),
        (["--algo", "v3", "--batch_size"], "--batch_size takes one value, got none"),
        (["--algo", "v3", "--episodes", "5", "6"], "--run.eval_episodes takes one value, got 5 6"),
        (["train", "v3", "v1"], "takes one value for --algo"),
        (["train", "cpu"], "Type --configs cpu"),
        (["train", "anything"], "train takes only flags, got 'anything'"),
        (["v3", "anything"], "Unknown command 'anything'"),
        (["tensorboard", "--logdir", "logs"], "Type: tensorboard --logdir logs"),
        (["test"], "`python dreamer.py eval --logdir DIR`"),
        (["-algo", "v3"], "Type --algo instead of -algo"),
        (["—algo", "v3"], "Type --algo instead of —algo"),
        (["eval", "logs/none"], "logs/none is not a run directory"),
        (["--config", "cpu"], "Did you mean --configs?"),
        (["--feature", "retnorm=v2"], "Did you mean --features?"),
        (["--configs", "atari", "--taks", "atari_pong"], "Did you mean --task?"),
        (["--step", "1000"], "Did you mean --steps?"),
        (["--episode", "3"], "Did you mean --episodes?"),
        (["eval", "--videos", "2"], "Did you mean --video?"),
        (["report", "--outs", "x"], "Did you mean --out?"),
        (["doctor", "--log", "x"], "Did you mean --logdir?"),
        (["--gpu", "0"], "Here it is --run.device"),
        (["explain", "retnorm"], "Type --feature retnorm"),
        (["--algo", "v3", "--configs", "debug", "--order.use", "ModelFirst"], "order.use"),
        (
            ["--algo", "v3", "--configs", "debug", "--run.precision", "float16"],
            "run.precision must be one of auto, fp32, bf16",
        ),
        (["--algo", "v1", "--configs", "debug", "--env.size", "32"], "Use --env.size 64"),
        (["--algo", "v3", "--configs", "debug", "--task", "dcm_walker_walk"], "Did you mean dmc_walker_walk?"),
        (["--algo", "v3", "--configs", "debug", "--task", "dmc_walker_wolk"], "Nearest: dmc_walker_walk"),
        (["--algo", "v3", "--configs", "debug", "--task", "atari_pongo"], "Nearest: atari_pong"),
        (["--algo", "v3", "--configs", "debug", "--task", "gym_CartPole-v7"], "gym_CartPole-v1"),
        (["--algo", "v3", "--configs", "debug", "--task", "broken_envs:Fin"], "Did you mean broken_envs:Fine"),
        (["--algo", "v3", "--configs", "debug", "--task", "brokn:Fine"], "could not be imported from"),
        (["--algo", "v3", "--configs", "debug", "--task", "broken_envs:RaisesWhenMade"], "no licence"),
        (
            ["--algo", "v3", "--configs", "debug", "--task", "broken_envs:TextActions"],
            "action space Text is not supported",
        ),
        (["--algo", "v3", "--configs", "debug", "--task", "broken_envs:TextObservations"], "Text space"),
        (["eval"], "eval needs --logdir"),
        (["eval", "--logdir", "nowhere"], "is not a run directory"),
        (["eval", "--algo", "v3", "--logdir", "nowhere"], "omit --algo"),
    ],
    ids=lambda value: " ".join(value[:6]) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_reported_with_the_right_one(words, says, tmp_path):
    logdir = [] if "eval" in words or "--logdir" in words else ["--logdir", tmp_path / "run"]
    expect_error(*words, *logdir, cwd=HERE, says=says)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Raises", ["RuntimeError: the motor is on fire", "broken_envs.py, line"]),
        ("RaisesAtReset", ["no such simulator", "broken_envs.py, line"]),
        ("GivesNaN", ["'vector' is not finite"]),
        ("GivesNaNReward", ["reward is nan"]),
        ("WrongShape", ["has shape (4,), its space says (3,)"]),
    ],
)
def test_a_broken_environment_ends_the_run_with_the_reason(name, says, tmp_path):
    words = [
        "--algo",
        "v1",
        *TINY,
        "--task",
        f"broken_envs:{name}",
        "--env.max_failures",
        "1",
        "--logdir",
        tmp_path / "run",
    ]
    expect_error(*words, cwd=HERE, says=["broke 2 times in a row", "--debug", *says])


def test_debug_adds_the_traceback_of_the_environment(tmp_path):
    words = [
        "--algo",
        "v1",
        *TINY,
        "--task",
        "broken_envs:Raises",
        "--env.max_failures",
        "0",
        "--logdir",
        tmp_path / "run",
    ]
    done = run_in_new_process(*words, "--debug", cwd=HERE)
    assert done.returncode != 0
    assert done.stderr.count('raise RuntimeError("the motor is on fire")') == 1


def test_debug_adds_the_traceback_of_a_wrong_flag(tmp_path):
    done = run_in_new_process("--algo", "v9", "--debug", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "Unknown version 'v9'" in done.stderr


@pytest.mark.parametrize("words", [["--task", "Pong"], ["--configs", "cpu,size12"], ["--batch_size", "many"]])
def test_an_error_comes_without_a_notice_on_the_version(words, tmp_path):
    assert run_in_this_process("train", *words, cwd=tmp_path).stderr.startswith("Error: ")


def test_the_version_that_was_not_named_is_noticed(tmp_path):
    done = run_in_this_process("config", cwd=tmp_path)
    assert done.stderr == "No --algo given: this is v3. Others: v1, v2, v3-2023.\n"


def test_every_environment_block_has_a_default_task_or_three_examples():
    blocks = versions.environment_blocks()
    assert {name for name, block in blocks.items() if "task" not in block} == set(SUITE_TASKS)
    for block, tasks in SUITE_TASKS.items():
        assert all(versions.with_environment_block(task, []) in ([block], ["dmc_proprio"]) for task in tasks)


def test_a_block_needs_no_task_to_print_its_config(tmp_path):
    assert "task: dummy" in run_in_this_process("config", "--algo", "v1", "--configs", "atari", cwd=tmp_path).stdout


def test_the_right_command_trains_in_the_logdir_of_a_typo(tmp_path):
    words = ["--algo", "v1", *TINY, "--logdir", tmp_path / "run"]
    expect_error(*words, "--task", "dummy_bandti", cwd=tmp_path, says="dummy_bandit")
    done = run_in_fork(*words, "--task", "dummy_bandit", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("logdir", ["/proc/run", "a_file", "a_file/run"])
def test_a_logdir_that_cannot_be_written(logdir, tmp_path):
    (tmp_path / "a_file").write_text("mine")
    expect_error("--algo", "v1", *TINY, "--logdir", logdir, cwd=tmp_path, says="Choose another --logdir")
    assert (tmp_path / "a_file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_logdir_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    expect_error("--algo", "v1", *TINY, "--logdir", tmp_path / "run", cwd=HERE, says="Permission denied")


def test_a_diverging_run_reports_the_numbers_and_what_to_try(tmp_path):
    words = ["--algo", "v1", *TINY, "--task", "dummy_point", "--optim.lr.model", "1e30", "--logdir", tmp_path / "run"]
    expect_error(
        *words, "--run.log_every", 20, cwd=tmp_path, says=["Training diverged", "not finite", "lower learning rate"]
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run that no test changes."""
    logdir = tmp_path_factory.mktemp("trained") / "run"
    done = run_in_fork("--algo", "v1", *TINY, "--task", "dummy_bandit", "--logdir", logdir, cwd=logdir.parent)
    assert done.returncode == 0, done.stderr
    assert len(list((logdir / "checkpoints").glob("checkpoint-*"))) == 2
    return logdir


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the finished run."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def same(logdir):
    return ["--algo", "v1", *TINY, "--task", "dummy_bandit", "--logdir", logdir]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--algo", "v2"], "algo: v1 -> v2"),
        (["--discount", "0.5"], "discount: 0.99 -> 0.5"),
        (["--seed", "3"], "seed: 0 -> 3"),
        (["--task", "dummy_cliff"], "task: dummy_bandit -> dummy_cliff"),
    ],
)
def test_the_logdir_of_another_run_stays_unchanged(trained, change, says):
    before = snapshot(trained)
    expect_error(
        *same(trained), *change, cwd=trained, says=["belongs to a run with another config", says, "another --logdir"]
    )
    assert snapshot(trained) == before


def test_a_folder_with_unrelated_files_stays_unchanged(tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years of work")
    expect_error(
        "--algo",
        "v1",
        *TINY,
        "--logdir",
        tmp_path,
        cwd=tmp_path,
        says=["contains unrelated files", "empty or new --logdir"],
    )
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == ["thesis.tex"]


def without_config(files):
    """The files except the config, which stores a new budget at once."""
    return {name: content for name, content in files.items() if not name.endswith("config.yaml")}


def corrupt(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [corrupt, truncate, empty])
@pytest.mark.parametrize("command", ["train", "eval"])
def test_damaged_checkpoints_are_reported_and_kept(run, damage, command):
    for path in (run / "checkpoints").iterdir():
        damage(path)
    before = without_config(snapshot(run))
    words = ["eval", "--logdir", run] if command == "eval" else [*same(run), "--steps", "200"]
    expect_error(*words, cwd=run, says=["can be read", "checkpoint-00000002.pt", "another --logdir"])
    after = snapshot(run)
    assert {k: v for k, v in after.items() if "config" not in k} == {
        k: v for k, v in before.items() if "config" not in k
    }


def test_one_damaged_checkpoint_loses_only_the_steps_since_the_one_before(run):
    truncate(run / "checkpoints" / "checkpoint-00000002.pt")
    done = run_in_fork(*same(run), "--steps", 200, cwd=run)
    assert done.returncode == 0, done.stderr
    assert "using the one before it" in done.stderr
    assert "Resumed at frame 60" in done.stderr


@pytest.mark.parametrize("text", ["", "algo: v1\n", "just words", "a: [1, 2\nb: }", "algo: v7\nrun: {}\n"])
@pytest.mark.parametrize("command", ["train", "eval"])
def test_a_damaged_config_is_reported(run, text, command):
    (run / "config.yaml").write_text(text)
    expect_error(*(["eval", "--logdir", run] if command == "eval" else same(run)), cwd=run, says=["another --logdir"])
    assert (run / "config.yaml").read_text() == text


@pytest.mark.parametrize(("key", "value"), [("discont", "1"), ("run.eval_episodes", "few"), ("episodes", "0")])
def test_wrong_flags_of_eval_are_reported(trained, key, value):
    expect_error(
        "eval", "--logdir", trained, f"--{key}", value, cwd=trained, says=["eval_episodes" if "ep" in key else key]
    )


def test_a_run_that_has_no_checkpoint_yet(run):
    shutil.rmtree(run / "checkpoints")
    expect_error("eval", "--logdir", run, cwd=run, says="Train first")


def test_every_short_flag_means_a_key_and_is_not_a_key():
    flat = flatten(program.resolve("v3"))
    assert set(FLAG_ALIASES.values()) <= set(flat)
    assert not set(FLAG_ALIASES) & set(flat)


def test_a_python_without_the_packages_prints_how_to_install_them(tmp_path):
    command = [sys.executable, "-E", "-S", str(ROOT / "dreamer.py"), "doctor"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {sys.executable} has no package ")
    assert "make install" in done.stderr
    assert "Traceback" not in done.stderr
