"""Every key has exactly one explanation, with an existing file and a correct condition."""

import fnmatch
import itertools

import pytest

import dreamer
from common.analysis.explain import conditions
from common.analysis.explain.entries import ROOT, entries, every_key, find_entry, part_file, part_names
from common.analysis.explain.rows import ABSENT, differing, rows
from common.analysis.explain.text import markdown, terminal
from common.config import config as configs
from common.config.parts import PARTS as SEAMS
from common.errors import UserError
from common.storage.logdir import MAY_CHANGE
from tests.helpers.variants import MIXED, PICTURES, VECTORS, losses, request, setting

LOADED = {algo: dreamer.resolve(algo) for algo in dreamer.ALGOS}
KEYS, PARTS = every_key(list(LOADED.values())), part_names()


def test_every_key_and_part_has_one_entry():
    fitting = {name: [glob for glob in entries() if fnmatch.fnmatchcase(name, glob)] for name in [*KEYS, *PARTS]}
    assert not [name for name, globs in fitting.items() if name not in globs and len(globs) != 1]


def test_every_entry_has_a_key_and_a_text():
    loose = [name for name in [*KEYS, *PARTS] if name not in entries()]
    assert not [name for name in entries() if name not in [*KEYS, *PARTS] and not fnmatch.filter(loose, name)]
    assert all(one.what and len(one.what) < 130 for one in entries().values())


def test_files_of_keys_outside_of_parts_mention_the_key():
    texts = {key: (ROOT / find_entry(key).file).read_text() for key in KEYS if key.split(".")[0] not in SEAMS}
    words = {key: key.rsplit(".", 1)[-1].split("_") for key in texts}
    assert not [key for key, text in texts.items() if not all(word in text for word in words[key])]


def test_the_file_of_a_part_defines_it():
    assert not [name for name in PARTS if f"class {name.split('.')[1]}" not in (ROOT / part_file(name)).read_text()]


def test_entries_use_exactly_the_known_conditions():
    assert {one.only for one in entries().values() if one.only} == set(conditions.CONDITIONS)


@pytest.mark.parametrize(("one", "two"), list(itertools.permutations(["v1", "v3", "v3-2023"], 2)))
@pytest.mark.parametrize("task", [VECTORS, PICTURES])
def test_keys_without_effect_change_no_loss(one, two, task):
    """With another version's values for all keys without effect, every loss is bit-identical."""
    place = setting(task)
    config, other = (place.configs(request(algo))[task] for algo in (one, two))
    facts = place.facts(config)
    idle = {
        key: value
        for key, value in configs.flatten(other).items()
        if find_entry(key).only and not any(conditions.has_effect(key, each, facts) for each in (config, other))
    }
    assert idle.keys() - MAY_CHANGE
    assert losses(place.configs(request(one, flags=idle))[task], facts) == losses(config, facts)


def test_effects_depend_on_the_task():
    place = setting(VECTORS, PICTURES, "atari_pong")
    has = lambda key, task, algo="v3", **flags: conditions.has_effect(
        key, one := request(algo, flags=flags).config(algo, task=task), place.facts(one)
    )
    assert has("encoder.symlog", VECTORS) > has("encoder.symlog", PICTURES)
    assert has("conv.depth", PICTURES) > has("conv.depth", VECTORS)
    assert has("grad_cont.use", VECTORS) > has("grad_disc.use", VECTORS)
    assert has("env.sticky", "atari_pong") > has("env.sticky", PICTURES)
    assert has("env.resize", "atari_pong") > has("env.resize", PICTURES)  # PICTURES renders 64 pixels
    assert has("loss.con", VECTORS) > has("loss.con", VECTORS, **{"con.use": "NoContinue"})
    assert has("replay.capacity", VECTORS, steps=10**7) > has("replay.capacity", VECTORS, steps=10**6)
    assert has("reward_norm.scale", VECTORS, "v2", **{"reward_norm.momentum": 0.9}) > has("reward_norm.scale", VECTORS)
    assert not has("run.log_every", VECTORS)
    assert not has("algo", VECTORS)


def test_evaluation_keys_have_an_effect_if_there_is_evaluation():
    config = request("v3", flags={"run.eval_every": 0}).config("v3", task=VECTORS)
    facts = setting(VECTORS).facts(config)
    assert not conditions.has_effect("actor.eval", config, facts)
    assert conditions.has_effect("actor.eval", config, facts._replace(evaluated=True))


def test_rows_have_values_and_notes_of_both_parts():
    old, new = LOADED["v2"], LOADED["v3"]
    (row,) = rows([old, new], ["slow.use"])
    assert row.values == ["TargetCritic", "SlowRegularizer"]
    assert [(note.title, note.files) for note in row.notes] == [
        ("", []),
        ("TargetCritic", ["dreamer_v2/slow.py"]),
        ("SlowRegularizer", ["dreamer_v3/slow.py"]),
    ]
    (row,) = rows([old, new], ["slow.fraction"])
    assert row.values == ["1", ABSENT]
    assert [note.files for note in row.notes] == [["dreamer_v2/slow.py"]]


def test_differing_keys():
    assert set(differing([LOADED["v2"], LOADED["v3"]])) == set(configs.differences(LOADED["v2"], LOADED["v3"]))
    assert not differing([LOADED["v1"], LOADED["v1"]])


def test_values_that_round_to_the_same_text_are_shown_in_full():
    (row,) = rows([LOADED["v3"], LOADED["v3"] | {"discount": 0.997}], ["discount"])
    assert row.values == ["0.996996996996997", "0.997"]


def test_a_key_of_another_program_version_is_shown():
    (row,) = rows([LOADED["v1"] | {"warp": 3}], ["warp"])
    assert row.values == ["3"]
    assert row.concept == "Other"


def test_text_has_values_formula_source_and_file():
    made = rows([LOADED["v2"], LOADED["v3"]], ["latent.unimix", "kl.use"])
    for text in (terminal(["v2", "v3"], made), markdown(["v2", "v3"], made)):
        for part in ("p = (1 - u) softmax(logits) + u / C", "V3 paper, world model learning", "dreamer_v2/latent.py"):
            assert part in text
    assert "latent.unimix  0 → 0.01" in terminal(["v2", "v3"], made)
    assert "| `latent.unimix` | 0 | 0.01 |" in markdown(["v2", "v3"], made)
    assert all(line.count(" | ") == 6 for line in markdown(["v2", "v3"], made).splitlines() if line.startswith("| `"))


def test_borrowed_features_use_the_same_config_blocks():
    mixed = dreamer.resolve("v1", ["cpu"], {"task": VECTORS}, {"optim": "v3", "schedule": "v3"})
    lender = dreamer.resolve("v3", ["cpu"], {"task": VECTORS})
    assert (mixed["optim"], mixed["schedule"]) == (lender["optim"], lender["schedule"])
    assert (
        dreamer.resolve("v3", ["size12m"], {}, {"kl": "v2"})["kl"] == dreamer.resolve("v2")["kl"]
    )  # has no such block
    with pytest.raises(UserError, match="Unknown version 'v9'"):
        dreamer.resolve("v1", ["cpu"], {}, {"optim": "v9"})


def test_the_mixed_task_has_images_and_vectors():
    facts = setting(MIXED).facts(request("v3").config("v3", task=MIXED))
    assert conditions.images(request("v3").config("v3", task=MIXED), facts)
    assert conditions.vectors(request("v3").config("v3", task=MIXED), facts)
