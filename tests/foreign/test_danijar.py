"""Agents of danijar's three programs: files that their own code wrote give the numbers that their own code gave."""

import dataclasses

import numpy as np
import pytest

from common.config.versions import resolve
from common.foreign import danijar_v3_2023
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
    "danijar-v3-2023": ("danijar-v3", ("velocity", "position")),
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
    decoder, first = agent.world.decoder, agent.world.rssm.initial(2).detach()
    images_first = {"embed": found["embed"][:, embed_rows(agent.world.encoder)]}
    if case == "danijar-v3-2023":  # logits there have the uniform share
        mixed = {name: agent.latent.logits(found[name]) for name in ("prior", "post")}
        mixed["policy"] = agent.behavior.actor.dist.logits(found["policy"])[0]
        return found | mixed | images_first | {"initial_deter": first.deter, "initial_stoch": first.stoch}
    if case.startswith("danijar-v3"):  # predictions of vectors stay in symlog space there
        return found | {f"rec/{key}": symlog(found[f"rec/{key}"]) for key in decoder.vectors}
    shifted = {f"rec/{key}": found[f"rec/{key}"] - 0.5 for key in decoder.images}
    return found | shifted | images_first


@pytest.mark.parametrize("case", CASES)
def test_forward_pass_equals_that_of_the_foreign_code(case, tmp_path):
    made = imported(case, tmp_path / "run")
    inputs, expected = given(case)
    worst = differences(in_their_form(case, made.agent, outputs(made.agent, inputs)), expected)
    assert max(worst.values()) < TOLERANCE, worst
    assert made.fit.left_over == []


def moments_of(case):
    """First and second moments by name, and the steps, in the file of a case."""
    if case == "danijar-v3-2023":
        states = [
            x for name, x in read_pickle(DATA / case / "checkpoint.ckpt")["agent"].items() if "_opt/state" in name
        ]
        steps, first, second = zip(*(danijar_v3_2023.find_adam(state) for state in states), strict=True)
        join = lambda parts: {name: x for part in parts for name, x in part.items()}
        return join(first), join(second), set(map(int, steps))
    file = read_pickle(next((DATA / case / "ckpt").glob("*/agent.pkl")))["params"]
    part = lambda place: {name[14:]: x for name, x in file.items() if name.startswith(f"opt/state/{place}/1/")}
    return part(2), part(1), {int(file["opt/step/value"])}


@pytest.mark.parametrize(
    ("case", "bias"),
    [
        ("danijar-v3-both", "pol/head/action/logits/bias"),
        ("danijar-v3-2023", "agent/task_behavior/ac/actor/dist_out/out/bias"),
    ],
)
def test_moments_and_steps_of_the_optimiser_are_those_of_the_file(case, bias, tmp_path):
    made = imported(case, tmp_path / "run")
    first, second, steps = moments_of(case)
    optim, groups = made.agent.optim, ("model", "actor", "critic")
    assert {optim.slots[group]["t"] for group in groups} == steps
    assert made.fit.with_moments == len(first) == len(second)
    for ours, theirs in (("mu", first), ("nu", second)):
        total = sum(float(np.abs(x).sum()) for x in theirs.values())
        assert total > 0
        own = sum(float(x.abs().sum()) for group in groups for x in optim.slots[group][ours])
        assert own == pytest.approx(total, rel=1e-5)
    place = [id(param) for param in optim.groups["actor"]].index(id(made.agent.behavior.actor.outs[0].bias))
    np.testing.assert_array_equal(optim.slots["actor"]["mu"][place], first[bias])
