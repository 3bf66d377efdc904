"""`plan --devices`: counted work of a share of the batch, and the time of the reduction, computed by hand."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

import dreamer
from benchmarks import scaling as script
from common.agent import cost
from common.agent.agent import Agent
from common.commands import scaling as tables
from common.distributed.group import buckets
from common.errors import UserError
from common.nn import ranks
from common.nn.ranks import BUCKET_ELEMENTS, Ranks
from common.profiling import scaling
from common.profiling.scaling import INTERCONNECTS, DeviceSpeed, Interconnect, Scaling
from tests.helpers import fakes

ROOT = Path(__file__).parents[2]
ENVS = SimpleNamespace(
    obs_space=spaces.Dict({"vector": spaces.Box(-1, 1, (4,), np.float32)}),
    act_space=spaces.Box(-1, 1, (2,), np.float32),
)
RATES = {"matmul_flops_per_second": 2e9, "copy_bytes_per_second": 1e9}
LINK = Interconnect(bytes_per_second=1e6, latency=1e-3)


@pytest.fixture(scope="module")
def config():
    return dreamer.resolve("v3", ["debug"], {"task": "dummy_point", "batch_size": "6"})


@pytest.fixture(scope="module")
def shares(config):
    return Scaling(config, ENVS)


def forecast(shares, devices, interconnect="100g", seconds=3.0):
    """Return the rows of a forecast from a measured update of `seconds`."""
    found = {"rates": RATES, "pace": {"update": seconds}}
    options = {"devices": devices, "interconnect": interconnect}
    return tables.data_parallel(options, shares, found)["scaling"]["rows"]


def test_one_device_has_the_measured_time(shares):
    assert tables.data_parallel({"devices": 1, "interconnect": ""}, shares, {}) == {}
    first = forecast(shares, 2, seconds=3.0)[0]
    assert (first["devices"], first["rows"], first["reduction"], first["speedup"]) == (1, 6, 0.0, 1.0)
    assert first["update"] == first["compute"] == pytest.approx(3.0)
    assert first["updates_per_second"] == pytest.approx(1 / 3)


def test_a_share_takes_the_time_of_its_counted_work(config, shares):
    rows = forecast(shares, 4)
    whole, share = (cost.update_cost(config | {"batch_size": n}, ENVS.obs_space, ENVS.act_space) for n in (6, 2))
    assert [row["devices"] for row in rows] == [1, 2, 4]
    assert [row["rows"] for row in rows] == [6, 3, 2]  # of the largest share
    seconds = [work.flops / 2e9 + work.bytes / 1e9 for work in (whole, share)]
    assert rows[2]["compute"] == pytest.approx(3.0 * seconds[1] / seconds[0])
    assert rows[0]["compute"] > rows[1]["compute"] > rows[2]["compute"] > 3.0 / 4  # parameters are not divided


def test_the_time_of_the_reduction_is_that_of_a_ring(shares):
    """Four devices and 8 MB: 6 steps of 2 MB each at 1 MB/s, and two collectives of 6 steps of 1 ms."""
    by_hand = 12.0 + 2 * (8.4e-6 + 6e-3)
    assert scaling.reduction_seconds(4, 8_000_000, LINK, exchanges=2) == pytest.approx(by_hand)
    assert scaling.reduction_seconds(1, 8_000_000, LINK, exchanges=2) == 0
    size = 4 * sum(shares.share(1).parameters.values())
    link = INTERCONNECTS["10g"]
    expected = 2 * 5 / 6 * size / 1.25e9 + 6 * (8.4e-6 + 10 * 50e-6)  # three small ones and three groups
    assert forecast(shares, 6, "10g")[-1]["reduction"] == pytest.approx(expected)
    assert link == Interconnect(1.25e9, 50e-6)


def test_the_gradients_are_those_of_the_trained_parameters(config, shares):
    agent = Agent(ENVS.obs_space, ENVS.act_space, config)
    trained = sum(p.numel() for group in agent.groups().values() for p in group)
    assert scaling.reduction_bytes(shares.share(1)) == 4 * trained


@given(
    devices=st.integers(2, 256), size=st.integers(1, 2**34), slow=st.floats(1e6, 1e12), factor=st.floats(1, 1e3),
    latency=st.floats(0, 1e-3),
)  # fmt: skip
def test_more_bandwidth_is_never_slower(devices, size, slow, factor, latency):
    links = [Interconnect(rate, latency) for rate in (slow, slow * factor)]
    seconds = [scaling.reduction_seconds(devices, size, link, exchanges=8) for link in links]
    assert seconds[1] <= seconds[0]


@given(batch=st.integers(1, 200), devices=st.integers(1, 200))
def test_the_largest_share_holds_the_batch(batch, devices):
    rows = scaling.share_rows({"batch_size": batch, "run": {"batch": "global"}}, devices)
    assert rows * devices >= batch > (rows - 1) * devices
    assert scaling.share_rows({"batch_size": batch, "run": {"batch": "per_rank"}}, devices) == batch


def test_a_batch_on_each_rank_can_be_forecast_on_any_number_of_devices(config):
    with pytest.raises(UserError, match=r"--run\.batch per_rank"):
        scaling.check_devices(config, 8, "10g")
    each = config | {"run": config["run"] | {"batch": "per_rank"}}
    scaling.check_devices(each, 8, "10g")
    rows = forecast(Scaling(each, ENVS), 8, "10g")
    assert [row["rows"] for row in rows] == [6] * 4
    assert rows[0]["compute"] == pytest.approx(rows[-1]["compute"])
    assert rows[-1]["updates_per_second"] < rows[0]["updates_per_second"]


class CountingRanks(Ranks):
    """Two ranks of which this is one; counts the exchanges of an update."""

    size, rows, weight, small, gradients = 2, (5, 5), 0.5, 0, 0

    def average(self, x):
        self.small += 1
        return x.detach()

    def mean(self, x):
        self.small += 1
        return x.mean()

    def gather(self, x):
        self.small += 1
        return x

    def reduce(self, grads):
        self.gradients += len(list(buckets(grads)))


@pytest.mark.parametrize(("algo", "small"), [("v1", 3), ("v2", 5), ("v3", 3), ("v3-2023", 3)])
def test_the_exchanges_of_the_forecast_are_those_of_an_update(algo, small):
    config = dreamer.resolve(algo, ["debug"], {})
    agent = Agent(ENVS.obs_space, ENVS.act_space, config)
    group = CountingRanks()
    with ranks.joined(group):
        agent.update(fakes.random_batch(agent, 5, 6), 0)
    assert (group.small, group.gradients) == (small, 3)
    assert scaling.count_exchanges(config, Scaling(config, ENVS).share(1).parameters) == small + 3
    assert scaling.count_exchanges(config, {"encoder": BUCKET_ELEMENTS, "reward": BUCKET_ELEMENTS + 1}) == small + 3


@given(devices=st.integers(1, 1000))
def test_counts_of_devices(devices):
    counts = scaling.device_counts(devices)
    assert counts == sorted(set(counts))
    assert (counts[0], counts[-1]) == (1, devices)


def test_a_run_that_was_not_timed_is_forecast_from_its_bound(shares):
    found = {"lower_bound": True, "pace": {"update": 60.0}}
    found |= tables.data_parallel({"devices": 2, "interconnect": "nvlink"}, shares, found)
    one, two = found["scaling"]["rows"]
    assert one["update"] == pytest.approx(60.0)
    assert two["compute"] == pytest.approx(60.0 * shares.share(2).flops / shares.share(1).flops)
    assert "at least this time" in str(tables.scaling_tables(found)[-1])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--devices", "0"], "--devices must be at least 1, got 0."),
        (["--devices", "8"], "--devices 8 needs --interconnect with one of nvlink, 100g, 10g."),
        (["--devices", "2", "--interconnect", "wifi"], "--interconnect must be one of nvlink, 100g, 10g, got 'wifi'."),
        (["--devices", "7", "--interconnect", "10g", "--batch_size", "6"], "7 or more, or --run.batch per_rank."),
    ],
)  # fmt: skip
def test_wrong_flags_are_reported(words, says, capsys):
    assert dreamer.main(["plan", "--algo", "v3", "--configs", "debug", *words]) == 2
    assert says in capsys.readouterr().err


def test_the_command_prints_the_forecast_of_its_own_measurement(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--algo", "v1", "--configs", "debug", "--task", "dummy_point", "--updates", "3", "--run.compile", "off"]
    assert dreamer.main(["plan", *words, "--devices", "2", "--interconnect", "100g", "--json", "plan.json"]) == 0
    found = json.loads(Path("plan.json").read_text())
    one, two = found["scaling"]["rows"]
    assert one["update"] == pytest.approx(found["pace"]["update"])
    assert two["update"] == two["compute"] + two["reduction"]
    printed = capsys.readouterr().out
    assert "Computed, not measured: 2 devices like this one" in printed
    assert f"{two['updates_per_second']:.3g}" in printed


def test_the_page_has_the_output_of_the_script(capsys):
    page = (ROOT / "docs/scaling.md").read_text()
    script.main([])
    printed = capsys.readouterr().out
    for name, fresh in zip(("shares", "batch", "each"), re.split(r"\n\n(?=Computed)", printed), strict=True):
        table = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", page, re.S)
        assert table[1].strip() == fresh.strip(), "Paste the output of `python benchmarks/scaling.py`."


def test_the_script_measures_shares_and_counts_operations(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(script, "MEASURED_SIZES", ("debug",))
    monkeypatch.setattr(script.machine, "MATMUL_SIDES", {"cpu": (64,)})
    monkeypatch.setattr(script.machine, "COPY_BYTES", {"cpu": 2**20})
    monkeypatch.setattr(script.measure, "FILLED", (2**20, 200))
    script.main(["--measure", "--rounds", "1", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())["results"]
    assert [row["rows"] for row in found] == [16, 8, 4, 2, 1]
    assert all(row["operations"] > 1000 and min(row["seconds"]) > 0 for row in found)
    monkeypatch.setattr(script, "MEASURED", tmp_path / "found.json")
    monkeypatch.setattr(script, "SIZES", ())
    script.main(["--launch", "0"])
    assert "| debug | 16 |" in capsys.readouterr().out


def test_a_star_marks_what_cannot_be_started_in_time():
    found = scaling.scaled_update(SimpleNamespace(flops=1, bytes=1, parameters={}), 1, DeviceSpeed(2, 2), LINK, 6)
    assert script.cell(found, least=1.5) == "1*"
    assert script.cell(found, least=0.5) == "1"
