"""Layers, types, names and published numbers of the configs."""

import functools
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dreamer
from common.config import config as configs
from common.config import features, foreign_keys, parts, versions
from common.errors import UserError
from common.storage.logdir import MAY_CHANGE, config_changes, config_digest


@functools.cache
def explicit(algo):
    return configs.flatten(versions.version_blocks(algo)["defaults"])


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_version_files_are_complete(algo):
    """Every key except the names of parts, which are in the recipe, is in the file of the version."""
    resolved = configs.flatten(dreamer.resolve(algo))
    missing = [key for key in resolved if not key.endswith(".use") and key not in explicit(algo)]
    assert not missing


def test_versions_have_the_same_keys_outside_of_parts():
    seams = set(parts.PARTS)
    keys = [{k for k in configs.flatten(dreamer.resolve(a)) if k.split(".")[0] not in seams} for a in dreamer.ALGOS]
    assert all(other == keys[0] for other in keys)


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_every_block_resolves(algo):
    own, shared = versions.version_blocks(algo), versions.environment_blocks()
    for block in {**own, **shared}:
        assert dreamer.resolve(algo, [block])["algo"] == algo
        assert dreamer.resolve(algo, [block, "debug"])["mlp"]["actor"]["units"] == 16


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_every_key_can_be_set_from_the_command_line(algo):
    """The task is not set: it would also choose its environment block."""
    flat = {k: v for k, v in configs.flatten(dreamer.resolve(algo)).items() if not k.endswith(".use") and k != "task"}
    text = {key: str(value) for key, value in flat.items()}
    assert configs.flatten(dreamer.resolve(algo, [], text)) == configs.flatten(dreamer.resolve(algo))


def test_every_part_is_found_by_its_name():
    for seam, paths in parts.PARTS.items():
        for path in paths:
            name = path.split(":")[1]
            assert parts.find(seam, name).__name__ == name


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"batch_sise": "4"}, "Unknown key 'batch_sise'. Did you mean batch_size"),
        ({"latent.unimx": "0.1"}, "Did you mean latent.unimix"),
        ({"deter": "8"}, "rssm.deter"),
        ({"latent.use": "Gauss"}, "latent.use must be one of Gaussian, Categorical, got 'Gauss'"),
        ({"latent.std": "softplus"}, "latent.std is an option of Gaussian, but latent.use is Categorical"),
        ({"batch_size": "1.5"}, "batch_size expects int .*got '1.5'"),
        ({"batch_size": "many"}, "batch_size expects int"),
        ({"batch_size": "true"}, "batch_size expects int"),
        ({"discount": "high"}, "discount expects float"),
        ({"discount": "linear(0, 1, 10)"}, "discount expects float"),
        ({"env.gray": "off"}, "env.gray expects true or false .*got 'off'"),
        ({"env.gray": "1"}, "env.gray expects true or false"),
        ({"actor.entropy": "linear(0, 1)"}, "neither a number nor one of linear"),
        ({"rssm": "8"}, "Unknown key 'rssm': it is a group. Its keys are rssm.deter, "),
        ({"optim.lr": "1e-4"}, r"optim.lr.model, optim.lr.actor and optim.lr.critic. --optim.lr.\* VALUE sets all"),
        ({"mlp.actor": "1"}, r"Its keys are mlp.actor.layers and mlp.actor.units.$"),
        ({"lr": "1e-4"}, r"optim.lr.model, optim.lr.actor or optim.lr.critic\? --optim.lr.\* VALUE sets all"),
        ({"units": "8"}, r"mlp.actor.units\? --\*.units VALUE sets all"),
        ({"zzzzqqq": "8"}, r"Keys are actor\.\*, .*vector\.\*\. `python dreamer.py config` prints all"),
        ({"run.train_ratio": "8"}, "Here it is --schedule.ratio"),
        ({"run.steps": "8"}, "Here it is --steps "),
        ({"jax.platform": "cpu"}, "Here it is --run.device "),
        ({"batch_size": "0"}, "batch_size must be at least 1, got 0"),
        ({"run.envs": "-1"}, "run.envs must be at least 1"),
        ({"seed": "-1"}, "seed must be at least 0"),
        ({"discount": "2"}, "discount must be at most 1, got 2"),
        ({"latent.unimix": "1.5"}, "latent.unimix must be at most 1"),
        ({"schedule.ratio": "nan"}, "schedule.ratio must be a finite number"),
        ({"optim.lr.model": "inf"}, "optim.lr.model must be a finite number"),
        ({"mlp.actor.layers": "-1"}, "mlp.actor.layers must be at least 0"),
        ({"actor.eval": "modus"}, "actor.eval must be one of mode, sample"),
        ({"steps": "0"}, "steps must be at least 1"),
        ({"nothing.*": "8"}, "Unknown key"),
    ],
)
def test_a_wrong_flag_is_reported_with_the_right_one(flags, message):
    with pytest.raises(UserError, match=message):
        dreamer.resolve("v3", [], flags)


def test_keys_of_other_programs_are_answered_with_keys_that_exist():
    known = dreamer.resolve("v3", flags={"explore.use": "Plan2Explore"})
    for name, key in foreign_keys.SAME_KEYS.items():
        assert name not in configs.flatten(known)
        assert configs.matching_keys(known, key)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("v9",), "Unknown version 'v9'. Did you mean"),
        (("v3", ["size12"]), "Unknown config block for v3 'size12'. Did you mean size12m"),
        (("v1", ["size12m"]), "Unknown config block for v1"),
    ],
)
def test_unknown_versions_and_blocks(args, message):
    with pytest.raises(UserError, match=message):
        dreamer.resolve(*args)


def test_values_keep_the_type_of_their_default():
    config = dreamer.resolve("v3", [], {"steps": "1e6", "discount": "1", "actor.entropy": "linear(1e-3, 0, 1e5)"})
    assert config["steps"] == 1_000_000
    assert isinstance(config["steps"], int)
    assert isinstance(config["discount"], float)
    assert config["actor"]["entropy"] == "linear(1e-3, 0, 1e5)"


@pytest.mark.parametrize(("text", "value"), [("0.2", 0.2), ("1e-3", 1e-3), ("linear(0, 1, 9)", "linear(0, 1, 9)")])
def test_a_schedule_may_be_replaced_by_a_number(text, value):
    assert dreamer.resolve("v1", ["atari"])["explore"]["amount"].startswith("linear")
    assert dreamer.resolve("v1", ["atari"], {"explore.amount": text})["explore"]["amount"] == value


def test_later_blocks_win_and_flags_win_over_all():
    load = lambda *blocks, **flags: dreamer.resolve("v3", blocks, flags)
    assert load("crafter", "size50m")["rssm"]["deter"] == 4096
    assert load("size50m", "dmc_vision")["rssm"]["deter"] == 2048
    assert load("size50m", **{"rssm.deter": "64"})["rssm"]["deter"] == 64
    assert load("defaults", "atari")["env"]["size"] == 96


def test_the_task_chooses_its_environment_block_unless_configs_does():
    assert dreamer.resolve("v3", [], {"task": "dmc_walker_walk"})["env"]["obs"] == "vector"
    assert dreamer.resolve("v3", ["dmc_vision"], {"task": "dmc_walker_walk"})["env"]["obs"] == "image"
    assert dreamer.resolve("v2", [], {"task": "atari_pong"})["discount"] == 0.999
    assert dreamer.resolve("v1", [], {"task": "package:Class"})["con"]["use"] == "SoftContinue"


def test_swapping_a_part_brings_its_own_defaults_and_flags_fill_them():
    config = dreamer.resolve("v3", [], {"latent.stoch": "7", "latent.use": "Gaussian"})
    assert config["latent"] == {"use": "Gaussian", "stoch": 7, "std": "softplus", "min_std": 0.1}


def test_borrowed_features_take_the_other_versions_values_for_the_same_environment():
    base, other = (dreamer.resolve(algo, ["atari"]) for algo in ("v3", "v2"))
    mixed = dreamer.resolve("v3", ["atari"], borrowed={"kl": "v2"})
    assert (
        mixed["kl"]
        == other["kl"]
        == {"use": "BalancedKL", "dyn": 0.08, "rep": 0.02, "free": 0.0, "where": "mean"} | {"forward": False}
    )
    assert set(configs.differences(base, mixed)) == {"kl.dyn", "kl.rep", "kl.free", "kl.where"}


def test_unknown_feature():
    with pytest.raises(UserError, match=r"Unknown feature 'retnrom'\. Did you mean retnorm"):
        dreamer.resolve("v3", [], {}, {"retnrom": "v2"})


@pytest.mark.parametrize(
    "block", ["", "atari", "atari100k", "crafter", "dmc_vision", "dmc_proprio", "gym", "cpu", "debug"]
)
def test_features_cover_every_difference_between_the_versions(block):
    """Except the name of the version, and keys that may change within a run."""
    loaded = [dreamer.resolve(algo, [block] * bool(block)) for algo in dreamer.ALGOS]
    named = {key for config in loaded for feature in features.FEATURES for key in features.keys(feature, config)}
    differing = {key for one in loaded for two in loaded for key in configs.differences(one, two)}
    assert not differing - named - MAY_CHANGE - {"algo"}


def test_resolving_changes_nothing_it_was_given():
    own = configs.read(versions.CONFIG_FOLDER / "dreamer_v3.yaml")
    before = configs.flatten(own)
    configs.resolve(dreamer.recipe("v3"), own["defaults"], [own["size1m"], {"latent.use": "Gaussian"}])
    assert configs.flatten(own) == before


def test_written_configs_read_back_equal(tmp_path):
    for algo in dreamer.ALGOS:
        config = dreamer.resolve(algo, ["debug"], {"task": "off", "actor.entropy": "linear(1, 0, 10)"})
        configs.write(tmp_path / "config.yaml", config)
        assert configs.read(tmp_path / "config.yaml") == config


def test_broken_yaml_is_reported_with_its_path(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: [1, 2\nb: }")
    with pytest.raises(UserError, match=r"bad\.yaml is not valid YAML"):
        configs.read(tmp_path / "bad.yaml")


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(explicit("v3"))), st.text(max_size=12))
@example("run.offline", "\0")
@example("logdir", "~nobody-here")
def test_any_text_for_any_key_is_accepted_or_refused_with_the_key(key, value):
    message = ""
    try:
        config = dreamer.resolve("v3", [], {key: value})
    except UserError as error:
        message = str(error)
    if message:
        assert key in message or "neither a number" in message
    else:
        assert type(configs.flatten(config)[key]) in (int, float, bool, str)


PUBLISHED = {
    ("v1", "dmc_vision"): {"optim.lr.model": 6e-4, "optim.lr.actor": 8e-5, "latent.stoch": 30, "kl.free": 3.0,
                           "batch_size": 50, "explore.amount": 0.3, "con.use": "NoContinue"},
    ("v1", "atari"): {"imagination.horizon": 10, "kl.scale": 0.1, "con.use": "SoftContinue",
                      "reward_transform": "tanh"},
    ("v2", "atari"): {"rssm.deter": 600, "kl.dyn": 0.08, "loss.con": 5.0, "actor.entropy": 1e-3, "discount": 0.999,
                      "schedule.steps": 16, "run.prefill": 50_000, "sampler.ends": 50, "optim.lr.actor": 4e-5},
    ("v2", "dmc_vision"): {"rssm.deter": 200, "kl.free": 1.0, "con.use": "NoContinue", "actor.entropy": 1e-4,
                           "schedule.steps": 5, "optim.lr.model": 3e-4, "sampler.ends": 0, "reward_transform": "none"},
    ("v2", "crafter"): {"net.norm": "layer", "actor.entropy": 3e-3, "rssm.deter": 1024, "discount": 0.999},
    ("v3", "dmc_proprio"): {"rssm.deter": 2048, "schedule.ratio": 512.0, "env.repeat": 2, "latent.classes": 16},
    ("v3", "atari"): {"env.size": 96, "env.gray": True, "schedule.ratio": 32.0, "rssm.deter": 8192, "run.envs": 16},
    ("v3", "atari100k"): {"schedule.ratio": 128.0, "env.sticky": 0.0, "env.actions": "minimal", "run.envs": 1},
    ("v3-2023", "dmc_vision"): {"kl.dyn": 0.5, "schedule.ratio": 512.0, "rssm.deter": 512, "mlp.actor.layers": 2},
}  # fmt: skip


@pytest.mark.parametrize(("algo", "block"), list(PUBLISHED))
def test_published_numbers(algo, block):
    flat = configs.flatten(dreamer.resolve(algo, [block]))
    assert {key: flat[key] for key in PUBLISHED[algo, block]} == PUBLISHED[algo, block]


def test_v3_has_one_set_of_hyperparameters():
    """Two of its domains differ in environment, size, replay ratio and budget only."""
    allowed = ("env.", "run.", "task", "steps", "schedule.ratio", "rssm.deter", "rssm.hidden", "latent.classes",
               "conv.depth", "mlp.")  # fmt: skip
    blocks = ["dmc_vision", "dmc_proprio", "atari", "atari100k", "crafter"]
    for block in blocks:
        differing = configs.differences(dreamer.resolve("v3"), dreamer.resolve("v3", [block]))
        assert not [key for key in differing if not key.startswith(allowed)]


def test_common_never_tests_for_a_version():
    """common/ knows the versions only through two tables, and in layouts of other projects, each of one version."""
    offenders = [
        f"{path.name}: {line.strip()}"
        for path in (versions.CONFIG_FOLDER.parent / "common").rglob("*.py")
        if path not in (Path(parts.__file__), Path(versions.__file__)) and path.parent.name != "foreign"
        for line in path.read_text().splitlines()
        if "dreamer_v" in line or '"v1"' in line or '"v2"' in line or '"v3' in line
    ]
    assert not offenders


FORMER = [(seam, old, new) for seam, names in parts.FORMER_NAMES.items() for old, new in names.items()]


@pytest.mark.parametrize(("seam", "old", "new"), FORMER)
def test_a_former_name_of_a_part_means_the_same_part(seam, old, new, capsys):
    arguments = dreamer.parse(["train", "--algo", "v3", f"--{seam}.use", old])
    assert capsys.readouterr().err == f"{seam}.use {old} is now {new}.\n"
    assert arguments[-1] == {f"{seam}.use": new}
    assert dreamer.resolve("v3", [], {f"{seam}.use": old}) == dreamer.resolve("v3", [], {f"{seam}.use": new})
    assert parts.find(seam, old) is parts.find(seam, new)


def test_a_current_name_of_a_part_prints_no_notice(capsys):
    dreamer.parse(["train", "--algo", "v3", "--kl.use", "BalancedKL", "--grad_*.use", "Reinforce"])
    assert not capsys.readouterr().err


@pytest.mark.parametrize("config", [{"kl": 3}, {"kl": {"use": ["SplitKL"]}}, {"kl": {}}, {"slow": {"use": None}}])
def test_names_of_parts_in_a_malformed_config_stay(config):
    assert parts.with_current_names(config) == config
    assert parts.with_former_names(config) == config


#: Digests of the configs of `--configs debug` that are in the checkpoints of runs from before parts were renamed.
DIGESTS = {
    "v1": "736b0e79d76797cf126ce5ed91ca17d844637c1290482f2b96bff8527f4bc8c3",
    "v2": "3156811b69abf652ec9cc93029c174ed6cc63ec84e72a4fca13cf82bad39c223",
    "v3": "951a0a252806fb38dfbeb0d55d4abb9e7d2fc080096fce9ca086e479fdb64315",
    "v3-2023": "6e4000161c071b1aae7f9bb9a975024f6288c749ab0c6742e5096bfc9decbc88",
}


@pytest.mark.parametrize("algo", DIGESTS)
def test_digests_of_older_runs_stay_valid(algo):
    config = dreamer.resolve(algo, ["debug"])
    older = parts.with_former_names(config)
    assert config_digest(config) == config_digest(older) == DIGESTS[algo]
    assert not config_changes(older, config)


def test_a_borrowed_feature_has_the_part_that_a_flag_chooses_with_the_options_of_the_lender():
    flags = {"explore.use": "Plan2Explore"}
    lender, mixed = dreamer.resolve("v2", [], flags), dreamer.resolve("v3", [], flags, borrowed={"explore": "v2"})
    assert mixed["explore"] == lender["explore"] != dreamer.resolve("v3", [], flags)["explore"]
    own = dreamer.resolve("v3", [], flags | {"explore.models": 3}, borrowed={"explore": "v2"})["explore"]
    assert own == lender["explore"] | {"models": 3}


def test_a_part_in_place_of_a_version_of_a_feature_says_what_to_type():
    with pytest.raises(UserError, match=r"Plan2Explore is a part\. Choose it directly: --explore\.use Plan2Explore"):
        dreamer.resolve("v3", [], {}, borrowed={"explore": "Plan2Explore"})
    with pytest.raises(UserError, match=r"Unknown version 'v7'"):
        dreamer.resolve("v3", [], {}, borrowed={"explore": "v7"})
