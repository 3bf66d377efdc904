"""The loggers of services with the installed packages, without a network. `make extras` installs them."""

import json

import pytest

from common.errors import UserError
from common.storage.loggers import service
from common.storage.loggers.choice import make_service
from tests.helpers.run_fakes import interrupted, lines
from tests.helpers.wandb_files import history, wandb_records

RESUMED = {"steps": 120, "run__eval_every": 60, "run__video_every": 80}


@pytest.fixture
def once(tmp_path, monkeypatch):
    """Train with a logger, interrupted after some updates and resumed; return the run's metrics by frames."""

    def once(name):
        monkeypatch.chdir(tmp_path)
        limits = service.Limits(close=120.0)  # the machine may be busy
        monkeypatch.setattr(service, "Limits", lambda: limits)
        names = {"run__logger": name, "run__logger_project": "hub", "run__logger_group": "g"}
        interrupted(tmp_path / "run", monkeypatch, "update", 40, **RESUMED, **names)
        merged = {}
        for line in lines(tmp_path / "run"):
            merged.setdefault(line["frames"], {}).update(line)
        assert len(merged) > 4
        return merged

    return once


def without_clock(values):
    return {key: value for key, value in values.items() if not key.startswith(("wall", "time/", "fps/", "_", "film/"))}


def test_wandb_has_the_run_offline_and_once(once, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    merged = once("wandb")
    records = list(wandb_records(tmp_path / "run"))
    runs = [record.run for record in records if record.HasField("run")]
    run_id = json.loads((tmp_path / "run/wandb.json").read_text())["id"]
    assert {(run.run_id, run.project, run.display_name, run.run_group) for run in runs} == {
        (run_id, "hub", "dummy_onehot_7/fake/0", "g")
    }
    stored = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
    assert stored["batch_length"] == 4
    assert stored["program"]["packages"]["torch"]
    rows = history(records)
    assert [row["_step"] for row in rows] == sorted(merged)  # each step once, over both processes
    assert [without_clock(row) for row in rows] == [without_clock(merged[row["_step"]]) for row in rows]
    films = [name for row in rows for name in row if name.startswith("film/")]
    assert films == ["film/openloop/vector"]
    assert list(tmp_path.glob("run/wandb/offline-run-*/files/media/videos/film/openloop/*.gif"))
    assert [record.exit.exit_code for record in records if record.HasField("exit")] == [130, 0]


def test_wandb_without_a_key_is_refused(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    wandb.teardown()  # forgets the mode of earlier tests
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UserError, match=r"Type: wandb login\. Or set WANDB_MODE=offline"):
        make_service("wandb", tmp_path)
    wandb.teardown()


def test_mlflow_has_the_run_in_a_local_database_and_once(once, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    merged = once("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs.db")
    (run,) = client.search_runs([client.get_experiment_by_name("hub").experiment_id])
    assert run.info.run_id == json.loads((tmp_path / "run/mlflow.json").read_text())["id"]
    assert (run.info.run_name, run.info.status) == ("dummy_onehot_7/fake/0", "FINISHED")
    assert run.data.tags["group"] == "g"
    assert run.data.params["batch_length"] == "4"
    assert run.data.params["program.packages.torch"]
    assert set(run.data.metrics) >= {name for row in merged.values() for name in row}
    for name in ("updates", "loss/weight", "episode/score", "eval/score", "openloop/vector"):
        points = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        assert points == [(frames, row[name]) for frames, row in merged.items() if name in row], name
    assert [file.path for file in client.list_artifacts(run.info.run_id, "film")] == [
        "film/openloop_vector_000000080.gif"
    ]


def test_trackio_has_the_run_in_its_folder_and_once(once, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    sqlite_storage = pytest.importorskip("trackio.sqlite_storage")
    monkeypatch.setattr(sqlite_storage, "TRACKIO_DIR", tmp_path / "trackio")
    merged = once("trackio")
    name = json.loads((tmp_path / "run/trackio.json").read_text())["id"]
    assert name.startswith("dummy_onehot_7/fake/0-")
    storage = sqlite_storage.SQLiteStorage
    assert trackio.__version__
    assert storage.get_runs("hub") == [name]
    assert storage.get_run_config("hub", name)["batch_length"] == 4
    found, films = {}, []
    for row in storage.get_logs("hub", name):
        films += [key for key in row if key.startswith("film/")]
        found.setdefault(row["step"], []).append(without_clock(row))
    assert films == ["film/openloop/vector"]
    for frames, row in merged.items():
        sent = {}
        for part in found[frames]:
            assert not (sent.keys() & part.keys()) - {"step", "timestamp"}
            sent |= part
        assert {key: sent[key] for key in without_clock(row)} == without_clock(row)
