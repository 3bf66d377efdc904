"""Version files that extend another: what they inherit, and what they refuse."""

import dataclasses
import types

import pytest

import dreamer
from common.config import config as configs
from common.config import versions
from common.errors import UserError


def version(monkeypatch, tmp_path, text, base="v3", **parts):
    """Register a version v8 with the given file; its recipe is that of `base` with other parts."""
    (tmp_path / "v8.yaml").write_text(text)
    own = types.SimpleNamespace(recipe=dataclasses.replace(dreamer.recipe(base), **parts))
    monkeypatch.setitem(__import__("sys").modules, "v8_of_a_test", own)
    monkeypatch.setitem(versions.ALGOS, "v8", ("v8_of_a_test", str(tmp_path / "v8.yaml")))
    versions.read_config.cache_clear()


def test_everything_is_inherited_and_own_values_win(monkeypatch, tmp_path):
    text = "extends: v3\ndefaults: {discount: 0.5, optim.lr.model: 1e-3}\ncpu: {mlp.*.units: 64}\nmine: {steps: 7}\n"
    version(monkeypatch, tmp_path, text)
    for block in [name for name in versions.version_blocks("v3") if name != "defaults"]:
        found = configs.differences(dreamer.resolve("v3", [block]), dreamer.resolve("v8", [block]))
        units = {key for key in found if key.startswith("mlp.")}
        learning_rate = set() if block == "cpu" else {"optim.lr.model"}
        assert set(found) - units == {"algo", "discount"} | learning_rate, block
        assert bool(units) == (block == "cpu")
    assert dreamer.resolve("v8", ["mine"])["steps"] == 7
    assert list(configs.flatten(dreamer.resolve("v8"))) == list(configs.flatten(dreamer.resolve("v3")))


def test_options_of_a_replaced_part_are_dropped_unless_the_new_part_has_them(monkeypatch, tmp_path):
    version(monkeypatch, tmp_path, "extends: v3\n", kl=dreamer.recipe("v1").kl, latent=dreamer.recipe("v1").latent)
    config, base = dreamer.resolve("v8", ["debug"]), dreamer.resolve("v3", ["debug"])
    assert config["kl"]["use"] == dreamer.resolve("v1")["kl"]["use"]
    assert "dyn" not in config["kl"]
    assert "classes" not in config["latent"]
    assert config["latent"]["stoch"] == base["latent"]["stoch"]


def test_a_file_may_extend_a_file_that_extends(monkeypatch, tmp_path):
    version(monkeypatch, tmp_path, "extends: v3\ndefaults: {discount: 0.5}\n")
    (tmp_path / "v7.yaml").write_text("extends: v8\n")
    monkeypatch.setitem(versions.ALGOS, "v7", ("v8_of_a_test", str(tmp_path / "v7.yaml")))
    assert set(configs.differences(dreamer.resolve("v3"), dreamer.resolve("v7"))) == {"algo", "discount"}
    assert dreamer.resolve("v7")["algo"] == "v7"


@pytest.mark.parametrize(("base", "says"), [("v33", "Did you mean v3"), ("v8", "version to extend"), ("3", "version")])
def test_a_wrong_base_is_reported(monkeypatch, tmp_path, base, says):
    version(monkeypatch, tmp_path, f"extends: {base}\n")
    with pytest.raises(UserError, match=says):
        dreamer.resolve("v8")
