"""The benchmark scripts run, and compute the right figures."""

import json
import sys

import pytest

from benchmarks import acting, atari, dreaming, figures, loop, memory, peak, rendering, replay, updates
from common.errors import UserError


def test_replay_script_samples_with_all_samplers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(replay, "copy_rate", lambda: 1e10)
    monkeypatch.setattr(replay, "EPISODE", 70)
    path = tmp_path / "x.json"
    replay.main(["--sizes", "1600", "3200", "--draws", "3", "--disk", str(tmp_path), "--json", str(path)])
    rows = json.loads(path.read_text())["results"]
    assert [(row["sampler"], row["records"]) for row in rows] == [(s, n) for s in replay.SAMPLERS for n in (1600, 3200)]
    assert all(row["fraction"] == pytest.approx(row["sample_rate"] / 1e10) for row in rows)
    assert [row["write_back_ms"] > 0 for row in rows] == [False, False, True, True]
    assert len(capsys.readouterr().out.splitlines()) == 4 + len(rows)
    assert list(tmp_path.iterdir()) == [path]


def test_shares_of_time_are_weighted_by_the_duration_of_a_line(capsys):
    line = lambda wall, updates, train, env: {
        "wall": wall, "updates": updates, "frames": 10 * updates, "time/train": train, "time/env": env,
    }  # fmt: skip
    found = loop.summarize([line(5.0, 1, 0.1, 0.9), line(6.0, 2, 0.8, 0.1), line(9.0, 5, 0.4, 0.5)])
    assert found["seconds"] == 4
    assert (found["updates"], found["updates_per_second"], found["frames"]) == (4, 1, 40)
    assert found["shares"]["train"] == pytest.approx(0.5)
    assert found["outside"] == pytest.approx(0.5)
    assert found["shares"]["env"] == pytest.approx(0.4)
    assert found["other"] == pytest.approx(0.1)
    loop.print_table({"preset": found})
    assert "| 50.0% |" in capsys.readouterr().out


def test_loop_script_trains_and_stops(monkeypatch, capsys):
    flags = "--run.threads 1 --run.device cpu --run.precision fp32 --run.prefill 20 --run.log_every 20 --envs 1"
    monkeypatch.setattr(loop, "PRESETS", {"tiny": ["--algo", "v3", "--configs", "debug"]})
    loop.main(["--only", "tiny", "--task", "dummy_point_10", "--seconds", "0.1", "--flags", flags])
    assert "| tiny |" in capsys.readouterr().out


def test_growth_ignores_the_first_fifth():
    points = [(updates, 100 + (updates > 400) * 6) for updates in range(0, 1001, 50)]
    found = memory.growth(points)
    assert found["updates"] == 1000
    assert found["mib"] == [100, 100, 106, 106, 106]
    assert found["growth_per_1000"] == pytest.approx(10)


OURS = [("ours", "bf16", "auto"), ("ours", "fp32", "auto")]


@pytest.mark.parametrize(
    ("device", "peers"),
    [
        ("cpu", [("r2dreamer", "bf16", "off"), ("r2dreamer", "fp32", "off")]),
        ("cuda:0", [("r2dreamer", "fp16", "on"), ("r2dreamer", "fp32", "on")]),
    ],
)
def test_peers_run_in_their_best_mode_for_the_device(device, peers, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(updates, "has_fast_bfloat16", lambda device: True)
    monkeypatch.setattr(updates, "describe_device", lambda device: "a machine")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(
        updates, "run", lambda row, python, *rest: asked.append((row, python, rest)) or figure(row, *rest)
    )
    out = tmp_path / "figures.json"
    monkeypatch.setattr(
        "sys.argv", f"x --device {device} --threads 1 --peer r2dreamer=FOLDER,PYTHON --out {out}".split()
    )
    updates.main()
    rows = ["12m", "200m"] if device != "cpu" else [row for row in updates.ROWS if row not in updates.GPU]
    assert list(dict.fromkeys(row for row, *_ in asked)) == rows
    first = [(rest[0], *rest[4:6]) for row, _, rest in asked if row == rows[0]]
    assert first == OURS + peers
    assert {tuple(python) for _, python, rest in asked if rest[0] == "r2dreamer"} == {("PYTHON",)}
    assert len(json.loads(out.read_text())["figures"]) == len(asked)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--peer r2dremer=/x,/y", "NAME=CHECKOUT,PYTHON with one of"),
        ("--peer r2dreamer", "NAME=CHECKOUT,PYTHON"),
        ("--peer r2dreamer=/x", "NAME=CHECKOUT,PYTHON"),
        ("--out /nowhere/x.json", "the folder does not exist"),
        ("--device cuda", "torch sees no such GPU"),
    ],
)
def test_updates_script_reports_wrong_arguments_before_it_measures(words, says, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["x", *words.split()])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        updates.main()
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "words", "code"),
    [
        (acting.main, ["--batches", "0"], 2),
        (atari.main, ["--games", "none"], 2),
        (rendering.main, ["--tasks", "nope", "--renders", "ray", "--seconds", "0.1"], 2),
    ],
)
def test_errors_of_scripts_are_one_message(main, words, code, capsys):
    with pytest.raises(SystemExit) as ended:
        figures.run_script(lambda: main(words))
    assert ended.value.code == code
    assert "rror: " in capsys.readouterr().err.splitlines()[-1]


def figure(row, who, workload, algo, options, precision, *rest):
    """Return the output of a contestant."""
    return {"row": row, "who": who, "algo": algo, "precision": precision, "seconds": [0.1]}


def test_the_table_has_milliseconds_and_ratios():
    rows = [figure("P", who, "P", "v3", None, precision) for who, precision in [("ours", "bf16"), ("peer", "fp32")]]
    rows[0] |= {"flops": 1e9, "matmul_flops_per_second": 1e11}
    rows[1]["seconds"] = [0.2, 0.25, 0.9]
    *_, ours, peer = updates.table(rows).splitlines()
    assert ours == "| P | ours (v3) | bf16 | 100.0 |  |  | 10% |"
    assert peer == "| P | peer (v3) | fp32 | 250.0 | 2.50x |  |  |"


def test_atari_script_alternates_between_all_kinds(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(atari, "KINDS", {"native": "native", "none": "this process"})
    path = tmp_path / "atari.json"
    atari.main(f"--algos v2 --games 2 --seconds 0.02 --rounds 2 --json {path}".split())
    (found,) = json.loads(path.read_text())["results"]
    assert (found["algo"], found["games"]) == ("v2", 2)
    assert all(found[kind]["steps"] > 0 and found[kind]["busy_ms"] > 0 for kind in atari.KINDS)
    assert capsys.readouterr().out.splitlines()[-1].startswith("| v2 | 2 | ")


def test_dreaming_script_times_steps_of_all_groups(monkeypatch, capsys):
    monkeypatch.setattr(dreaming, "GROUPS", (("v1",), ("v2", "v3")))
    monkeypatch.setattr(dreaming, "WARM_UP", 1)
    dreaming.main(["--task", "dummy_pixels", "--configs", "debug", "--steps", "2"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["runs"] for row in rows] == [["v1"], ["v2", "v3"]]
    assert all(row["ms"] > 0 and row["steps_per_second"] == pytest.approx(1000 / row["ms"]) for row in rows)


def test_peak_script_compares_with_recomputed_activations_and_the_peer(monkeypatch, tmp_path, capsys):
    figures = {"taken_gib": 1.5, "peak_gib": 2, "parameters": 3, "revision": "abc", "seconds": [2.0]}
    asked = []
    monkeypatch.setattr(peak, "measure", lambda name, command: asked.append((name, command)) or figures)
    path = tmp_path / "peak.json"
    peak.main(f"--rows R V1 --precisions fp32 --peer r2dreamer=/folder,/python --json {path}".split())
    assert [name for name, _ in asked] == [
        "R v3 fp32", "R v3 fp32 recomputed", "R r2dreamer fp32", "V1 v1 fp32", "V1 v1 fp32 recomputed"
    ]  # fmt: skip
    assert "--recompute" in asked[1][1]
    assert asked[2][1][0] == "/python"
    assert "/folder" not in path.read_text()
    assert "| R | r2dreamer fp32 | 1.50 | 2.00 |" in capsys.readouterr().out


def test_a_contestant_of_the_peak_script_that_fails_is_one_message():
    with pytest.raises(UserError, match=r"P x failed: ValueError: no memory"):
        peak.measure("P x", [sys.executable, "-c", "raise ValueError('no memory')"])
