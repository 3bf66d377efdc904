"""The script for GPUs: its parts, limits, records of failures, and its checks on the CPU."""

import json
import sys

import pytest
import torch

from benchmarks import gpu, gpu_checks


def options(words=""):
    return gpu.arguments(["--device", "cpu", *words.split()])


def part(code, seconds=20.0, kind="parity"):
    return gpu.Part(kind, "x", [sys.executable, "-c", code], seconds)


FINDING = 'print(\'{"variant": "eager", "passed": true, "says": "", "difference": 0.0}\', flush=True)\n'


def test_a_failed_part_is_recorded_with_its_message_and_keeps_what_it_found():
    group = [
        part(FINDING),
        part(FINDING + "raise ValueError('no kernel')"),
        part(FINDING + "import time; time.sleep(60)", 3),
    ]
    good, bad, slow = gpu.run_group(group)
    assert "failed" not in good
    assert bad["failed"] == "ValueError: no kernel"
    assert slow["failed"] == "stopped at its limit of 3 s"
    assert [len(record["found"]) for record in (good, bad, slow)] == [1, 1, 1]
    assert gpu.summary(good) == "1 checks passed"
    assert gpu.summary(bad) == "FAILED: ValueError: no kernel"


def test_all_limits_together_are_below_eight_minutes(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "has_fast_bfloat16", lambda device: True)
    groups = gpu.parts(gpu.arguments(["--peer", "r2dreamer=/x,/y"]))
    assert sum(max(part.seconds for part in group) for group in groups) < 480
    names = [part.name for group in groups for part in group]
    assert names[:5] == [*gpu.ALGOS, "run"]
    assert names[5:10] == [
        "12m bf16",
        "12m bf16 graphs",
        "12m bf16 compiled",
        "12m bf16 compiled graphs",
        "12m r2dreamer",
    ]
    assert len(names) == 15


def test_parts_can_be_chosen():
    kinds = {part.kind for group in gpu.parts(options("--only parity,resume")) for part in group}
    assert kinds == {"parity", "resume"}
    with pytest.raises(SystemExit):
        options("--only parity,nothing")


def test_the_record_has_machine_torch_and_what_was_skipped(monkeypatch, tmp_path, capsys):
    figure = {"seconds": [0.5, 0.5, 0.9], "peak_gib": 1.5, "flops": 1e9, "matmul_flops_per_second": 1e10}
    code = f"print({json.dumps(json.dumps(figure))})"
    monkeypatch.setattr(gpu, "parts", lambda options: [[part(code, kind="speed")], [part("raise ValueError('bad')")]])
    path = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--json", str(path)]) == 1
    found = json.loads(path.read_text())
    assert found["torch"] == torch.__version__
    assert {"machine", "revision", "tf32", "date", "total_seconds"} <= found.keys()
    assert found["skipped"].startswith("r2dreamer was not timed")
    assert [record.get("failed") for record in found["parts"]] == [None, "ValueError: bad"]
    assert "2.00 updates/s, peak 1.50 GiB, 20.0% of the matrix product rate" in capsys.readouterr().out


def test_a_missing_gpu_is_reported_before_anything_runs(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "torch sees no such GPU. Use --device cpu --sizes tiny" in capsys.readouterr().err


def test_parity_of_the_cpu_with_itself_and_graphs_are_skipped_in_words(monkeypatch, capsys):
    monkeypatch.setattr(gpu_checks, "UPDATES", 2)
    gpu_checks.main(["parity", "--algo", "v3", "--device", "cpu", "--variants", "eager", "graphs"])
    eager, graphs = map(json.loads, capsys.readouterr().out.splitlines())
    assert (eager["passed"], eager["difference"]) == (True, 0.0)
    assert graphs["says"].startswith("skipped: run.cuda_graphs is true, but the run is on the cpu")


def test_a_difference_above_the_tolerance_is_a_failure(monkeypatch, capsys):
    losses = iter([{"loss/a": 1.0}, {"loss/a": 1.01}])
    monkeypatch.setattr(gpu_checks, "make_agent", lambda *args: (None, None))
    monkeypatch.setattr(gpu_checks, "losses_of_updates", lambda agent, obs, updates: [next(losses)] * 6)
    gpu_checks.main(["parity", "--device", "cpu", "--variants", "eager"])
    found = json.loads(capsys.readouterr().out)
    assert not found["passed"]
    assert found["difference"] == pytest.approx(0.01, rel=0.01)


@pytest.mark.long
def test_the_whole_script_runs_on_a_cpu(tmp_path):
    path = tmp_path / "gpu.json"
    words = "--sizes tiny --algos v2 v3 --only parity,resume,speed --updates 3 --device cpu"
    gpu.main([*words.split(), "--json", str(path)])
    found = json.loads(path.read_text())["parts"]
    assert {record["part"] for record in found} == set(gpu.KINDS)
    assert next(record for record in found if record["part"] == "speed")["found"][0]["seconds"]
