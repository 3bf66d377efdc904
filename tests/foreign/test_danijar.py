"""Agents of danijar's three programs: files that their own code wrote give the numbers that their own code gave."""

import dataclasses

import numpy as np
import pytest

from common.config.versions import resolve
from common.foreign.danijar_names import embed_rows
from common.foreign.formats import format_module
from common.foreign.run import import_run
from common.foreign.safe_pickle import read_pickle
from common.nn.nets import symlog
from tests.foreign.forward import DATA, TOLERANCE, differences, given, outputs

CASES = {
    "danijar-v1-cont": ("danijar-v1", ()),
    "danijar-v1-disc": ("danijar-v1", ()),
    "danijar-v2-both": ("danijar-v2", ("velocity", "position")),
    "danijar-v2-cont": ("danijar-v2", ("velocity", "position")),
    "danijar-v2-image": ("danijar-v2", ()),
    "danijar-v3-both": ("danijar-v3", ()),
    "danijar-v3-cont": ("danijar-v3", ()),
}


def imported(case, logdir, **flags):
    """The result of importing a case without a task."""
    name, keys = CASES[case]
    module = format_module(name)
    source = dataclasses.replace(module.read(DATA / case), keys=keys)
    algo = module.describe(source).algo
    return import_run(module, source, logdir, lambda given: resolve(algo, flags=given), flags)


def in_their_form(case, agent, found):
    """Our outputs as the foreign program gives them."""
    decoder = agent.world.decoder
    if case.startswith("danijar-v3"):  # predictions of vectors stay in symlog space there
        return found | {f"rec/{key}": symlog(found[f"rec/{key}"]) for key in decoder.vectors}
    shifted = {f"rec/{key}": found[f"rec/{key}"] - 0.5 for key in decoder.images}
    return found | shifted | {"embed": found["embed"][:, embed_rows(agent.world.encoder)]}  # images come first there


@pytest.mark.parametrize("case", CASES)
def test_forward_pass_equals_that_of_the_foreign_code(case, tmp_path):
    made = imported(case, tmp_path / "run")
    inputs, expected = given(case)
    worst = differences(in_their_form(case, made.agent, outputs(made.agent, inputs)), expected)
    assert max(worst.values()) < TOLERANCE, worst
    assert made.fit.left_over == []


def test_moments_and_steps_of_the_optimiser_are_those_of_the_file(tmp_path):
    made = imported("danijar-v3-both", tmp_path / "run")
    file = read_pickle(next((DATA / "danijar-v3-both/ckpt").glob("*/agent.pkl")))["params"]
    slots = made.agent.optim.slots
    assert {slots[group]["t"] for group in ("model", "actor", "critic")} == {4}
    for ours, place in (("mu", 2), ("nu", 1)):
        theirs = [x for name, x in file.items() if name.startswith(f"opt/state/{place}/1/")]
        total = sum(float(np.abs(x).sum()) for x in theirs)
        own = [x for group in ("model", "actor", "critic") for x in slots[group][ours]]
        assert total > 0
        assert sum(float(x.abs().sum()) for x in own) == pytest.approx(total, rel=1e-5)
    actor = made.agent.behavior.actor
    place = [id(param) for param in made.agent.optim.groups["actor"]].index(id(actor.outs[0].bias))
    np.testing.assert_array_equal(slots["actor"]["mu"][place], file["opt/state/2/1/pol/head/action/logits/bias"])
