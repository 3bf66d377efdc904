"""Loggers: services that are away, slow, raise or hang; the table metrics.csv; the choice of loggers."""

import csv
import json
import sys
import time
import types

import pytest

import dreamer
from common.config.loggers import DEFAULT
from common.errors import UserError
from common.storage.logdir import config_digest
from common.storage.loggers import choice
from common.storage.loggers.csv_file import CsvFile
from common.storage.loggers.mlflow_service import absolute, metric_name
from common.storage.loggers.run_logger import run_facts
from common.storage.loggers.service import Limits, ServiceLogger
from common.storage.outputs import JsonLines
from common.training.train import train
from tests.helpers.command_line import expect_error, run_in_this_process
from tests.helpers.fake_services import FakeService, facts
from tests.helpers.run_fakes import FakeFactory, config, interrupted, lines, newest

QUICK = Limits(waiting=5, answer=0.05, retry=0.01, close=0.3)
ROOMY = Limits(waiting=50, answer=5.0, retry=0.01, close=5.0)


@pytest.fixture
def send(tmp_path):
    """Send lines with the given frames through a `ServiceLogger`; return what it printed."""

    def send(service, frames, limits=ROOMY, pause=0.0, end="finished"):
        printed = []
        logger = ServiceLogger(service, tmp_path, printed.append, limits)
        logger.start(facts(tmp_path))
        for frame in frames:
            logger.scalars({"frames": frame}, {"x": float(frame)}, 0.0)
            time.sleep(pause)
        logger.close(end)
        return printed

    return send


def stored(folder):
    return json.loads((folder / "fake.json").read_text())


def test_lines_and_films_arrive_in_order_with_the_end(tmp_path):
    service, printed = FakeService(), []
    logger = ServiceLogger(service, tmp_path, printed.append, ROOMY)
    logger.start(facts(tmp_path))
    logger.scalars({"frames": 10, "updates": 3}, {"x": 1.5}, 0.0)
    logger.scalars({"frames": 10, "updates": 3}, {"eval/score": 2.0}, 0.0)
    logger.film("eval/episode", tmp_path / "a.gif", (2, 2), 10, 0.0)
    logger.close("stopped")
    assert service.calls == [
        ("open", None),
        ("scalars", 10, {"frames": 10, "updates": 3, "x": 1.5}),
        ("scalars", 10, {"eval/score": 2.0}),
        ("film", 10, "eval/episode"),
        ("close", "stopped"),
    ]
    assert printed == []
    assert stored(tmp_path) == {"project": "p", "entity": "", "id": "id1", "sent": [10, 2]}


def fail():
    raise ConnectionError("no route\nto the host")


def test_a_service_that_raises_is_named_once_and_its_losses_are_counted(send):
    service = FakeService(scalars=fail)
    assert send(service, [1, 2, 3]) == [
        "Fake does not take records: ConnectionError: no route. The run continues without it.",
        "3 records are missing in Fake. See metrics.jsonl.",
    ]
    assert service.calls[-1] == ("close", "finished")


def test_a_service_that_exits_does_not_end_the_run(send):
    def leave():
        raise SystemExit(1)

    assert "SystemExit: 1" in send(FakeService(scalars=leave), [1])[0]


def test_a_service_that_comes_back_gets_what_waited(send):
    attempts = iter([fail, fail])
    service = FakeService(open=lambda: next(attempts, lambda: None)())
    (notice,) = send(service, [1, 2, 3], pause=0.03)
    assert "ConnectionError" in notice
    assert service.frames() == [1, 2, 3]


def test_a_service_that_stays_away_is_asked_again_at_the_end_only_once(send):
    service = FakeService(open=fail)
    printed = send(service, range(8), Limits(5, 5.0, 60.0, 5.0))
    assert printed[-1] == "8 records are missing in Fake. See metrics.jsonl."
    assert service.calls == []


def test_a_service_that_hangs_slows_nothing_and_is_left_after_the_limit(send):
    service = FakeService(scalars=lambda: service.hang())
    begin = time.monotonic()
    printed = send(service, range(12), QUICK)
    assert time.monotonic() - begin < 5
    service.released.set()
    assert len(printed) == 2
    assert printed[0].startswith("Fake does not take records: ")
    # five wait or are in progress, seven were dropped
    assert printed[1] == ("Fake did not finish within 0.3 seconds. 12 records may be missing there. See metrics.jsonl.")


def test_a_slow_service_is_reported_before_the_queue_is_full(send):
    service = FakeService(scalars=lambda: time.sleep(0.15))
    printed = send(service, [1, 2], QUICK._replace(close=5.0), pause=0.1)
    assert printed == [
        "Fake does not take records: it has not answered for 0.05 seconds. The run continues without it."
    ]
    assert service.frames() == [1, 2]


def test_a_resume_continues_the_same_run_and_sends_nothing_twice(send, tmp_path):
    first, again = FakeService(), FakeService()
    send(first, [10, 20, 20, 30, 40])
    send(again, [20, 20, 30, 40, 40, 50])  # from a checkpoint at 10; the last process was killed
    assert again.calls[0] == ("open", "id1")
    assert again.frames() == [40, 50]  # the second line at 40 is new
    assert stored(tmp_path)["sent"] == [50, 0]


def test_a_line_is_lost_rather_than_sent_twice(send, tmp_path):
    """A process that is killed in a call has stored the position before."""
    seen = []
    send(FakeService(scalars=lambda: seen.append(stored(tmp_path)["sent"])), [10, 20])
    assert seen == [[10, 0], [20, 0]]


def test_another_project_gets_a_run_of_its_own(send, tmp_path):
    send(FakeService(), [10])
    service = FakeService()
    logger = ServiceLogger(service, tmp_path, print, ROOMY)
    logger.start(facts(tmp_path, project="other"))
    logger.scalars({"frames": 10}, {}, 0.0)
    logger.close("finished")
    assert service.calls[0] == ("open", None)
    assert service.frames() == [10]


@pytest.mark.parametrize("text", ["", "[]", '{"id": 3, "sent": [1, 2]}', '{"id": "a", "sent": 4}', '{"id": "a"}'])
def test_a_damaged_file_of_a_service_starts_a_new_run(send, tmp_path, text):
    (tmp_path / "fake.json").write_text(text)
    service = FakeService()
    assert send(service, [1]) == []
    assert service.calls[0] == ("open", None)


def test_a_run_that_is_refused_opens_nothing(tmp_path):
    service = FakeService()
    ServiceLogger(service, tmp_path, print, QUICK).close("failed")
    assert not service.calls
    assert not list(tmp_path.iterdir())


@pytest.fixture
def services(monkeypatch):
    """Offer a fake service as wandb; return those that were made."""
    made = []

    def make(name, logdir):
        made.append(FakeService())
        return made[-1]

    monkeypatch.setattr(choice, "make_service", make)
    return made


def short(logdir, **changes):
    return config(logdir, steps=80, run__eval_every=0, **changes)


def test_a_run_sends_every_line_and_film_with_its_config(services, tmp_path):
    train(short(tmp_path / "run", run__logger="wandb,csv", run__logger_group="mine"), FakeFactory())
    _, service = services  # the first one was the check before anything was built
    rows = lines(tmp_path / "run")
    assert service.frames() == [row["frames"] for row in rows]
    sent = [set(call[2]) for call in service.calls if call[0] == "scalars"]
    assert set.union(*sent) >= {name for row in rows for name in row}
    assert ("film", 80, "openloop/vector") in service.calls
    assert service.calls[-1] == ("close", "finished")
    assert not list((tmp_path / "run").glob("events*"))
    table = list(csv.DictReader((tmp_path / "run/metrics.csv").open()))
    assert [{key: float(text) for key, text in row.items() if text} for row in table] == [
        json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    ]


def test_an_interrupted_run_ends_as_stopped_and_resumes_its_remote_run(services, tmp_path, monkeypatch):
    interrupted(tmp_path / "run", monkeypatch, "update", 6, steps=80, run__logger="wandb,csv")
    first, second = (service for service in services if service.calls)
    assert first.calls[-1] == ("close", "stopped")
    assert second.calls[0] == ("open", "id1")
    assert first.frames() + second.frames() == [row["frames"] for row in lines(tmp_path / "run")]


def test_a_broken_service_changes_nothing_in_a_run(tmp_path, monkeypatch, capsys):
    train(short(tmp_path / "one"), FakeFactory())
    monkeypatch.setattr(choice, "make_service", lambda name, logdir: FakeService(open=fail))
    train(short(tmp_path / "two", run__logger=f"{DEFAULT},wandb"), FakeFactory())
    assert lines(tmp_path / "one") == lines(tmp_path / "two")
    assert newest(tmp_path / "one")["digest"] == newest(tmp_path / "two")["digest"]
    said = capsys.readouterr().err
    assert said.count("Fake does not take records: ConnectionError: no route.") == 1
    assert "records are missing in Fake." in said


def test_the_default_loggers_write_what_they_always_wrote(tmp_path, capsys):
    train(short(tmp_path / "run"), FakeFactory())
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert any(name.startswith("events.out") for name in names)
    assert "metrics.jsonl" in names
    assert not names & {"metrics.csv", "wandb.json"}
    assert "frames (25%)" in capsys.readouterr().err


def test_without_the_terminal_only_messages_are_printed(tmp_path, capsys):
    train(short(tmp_path / "run", run__logger="jsonl"), FakeFactory())
    said = capsys.readouterr().err
    assert "frames (" not in said
    assert "Finished: 80 frames" in said


def test_the_loggers_may_change_on_resume_and_are_not_part_of_the_digest():
    given = config("run")
    assert config_digest(given) == config_digest(config("run", run__logger="csv", run__logger_group="g"))
    older = {**given, "run": {key: value for key, value in given["run"].items() if not key.startswith("logger")}}
    assert config_digest(older) == config_digest(given)


def test_a_table_is_complete_also_if_it_begins_late_or_gains_columns(tmp_path):
    rows = [{"frames": 1, "a": 1.5}, {"frames": 2}, {"frames": 3, "b": 2.0, "a": 0.5}]
    written = JsonLines(tmp_path / "metrics.jsonl")
    written.write(rows[0])
    table = CsvFile(tmp_path / "metrics.csv", written.path)
    for row in rows[1:]:
        written.write(row)
        table.scalars({"frames": row["frames"]}, {key: row[key] for key in row if key != "frames"}, 0.0)
    assert table.path.read_text() == "frames,a,b\n1,1.5,\n2,,\n3,0.5,2.0\n"


def test_names_without_a_choice_come_from_task_version_and_seed(tmp_path):
    session = dict.fromkeys(("git", "python", "packages", "hardware", "command"))
    found = run_facts(config(tmp_path), tmp_path, session)
    assert (found.name, found.group, found.project) == ("dummy_onehot_7/fake/0", "dummy_onehot_7/fake", "dreamer")
    named = run_facts(config(tmp_path, run__logger_name="n", run__logger_group="g"), tmp_path, session)
    assert (named.name, named.group) == ("n", "g")
    assert named.config["batch_size"] == 2
    assert set(named.config["program"]) == set(session)


@pytest.mark.parametrize(("value", "says"), [
    ("wandbb", "run.logger: unknown logger 'wandbb'. Did you mean wandb?"),
    ("terminal,neptune", "Loggers are terminal, jsonl, tensorboard, csv, wandb, mlflow, trackio."),
])  # fmt: skip
def test_an_unknown_logger_is_refused(tmp_path, value, says):
    expect_error("train", "--logger", value, "--logdir", "run", cwd=tmp_path, says=says)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [
    ["train", "--configs", "debug"],
    ["compare", "--algos", "v1,v3", "--configs", "debug", "--tasks", "dummy_point", "--steps", "100"],
], ids=lambda words: words[0])  # fmt: skip
def test_a_missing_package_is_named_before_anything_is_built(tmp_path, monkeypatch, words):
    monkeypatch.setitem(sys.modules, "trackio", None)
    says = "The logger trackio needs another package. Type: pip install trackio"
    expect_error(*words, "--logger", "csv,trackio", "--logdir", "run", cwd=tmp_path, says=says)
    assert not list(tmp_path.iterdir())


def test_a_package_that_cannot_be_set_up_is_named(monkeypatch):
    def broken(package, logdir):
        raise ValueError("mode: input should be online")

    monkeypatch.setitem(sys.modules, "wandb", types.ModuleType("wandb"))
    monkeypatch.setitem(choice.SERVICES, "wandb", broken)
    with pytest.raises(UserError, match="The logger wandb cannot be used as it is set: mode: input"):
        choice.make_service("wandb", None)


def test_the_runs_of_a_comparison_are_a_group_in_services(tmp_path):
    words = ["compare", "--algos", "v3", "--configs", "debug", "--tasks", "dummy_point", "--steps", "100", "--dry-run"]
    with_service = run_in_this_process(*words, "--logger", "csv,wandb", "--logdir", "a/grid", cwd=tmp_path).stdout
    assert "--run.logger csv,wandb" in with_service
    assert "--run.logger_name v3/dummy_point/2 --run.logger_group grid" in with_service
    named = run_in_this_process(*words, "--logger", "wandb", "--run.logger_group", "mine", cwd=tmp_path).stdout
    assert named.count("--run.logger_group mine") == 3
    assert "logger_" not in run_in_this_process(*words, "--logger", "csv", cwd=tmp_path).stdout


def test_mlflow_gets_names_and_addresses_that_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("sqlite:///m.db") == f"sqlite:///{tmp_path}/m.db"
    assert absolute("http://host:5000") == "http://host:5000"
    assert metric_name("env/a.b (%)") == "env/a.b ___"
    assert metric_name("loss/dyn") == "loss/dyn"


def test_every_version_has_the_default_loggers():
    assert {dreamer.resolve(algo)["run"]["logger"] for algo in dreamer.ALGOS} == {DEFAULT}
