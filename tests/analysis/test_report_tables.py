"""Tables of a report as CSV and LaTeX files, and tables of scores without runs."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

import dreamer as program
from common.analysis import reference
from common.analysis.report import table_files, write_report
from common.analysis.report.score_tables import read_score_tables, score_report
from common.analysis.report.tables import ReportTable
from common.errors import UserError
from tests.helpers.fake_runs import write_grid

FINALS = Path(reference.__file__).parent / "finals.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report on two variants and three tasks."""
    place = tmp_path_factory.mktemp("report")
    tasks = ("dmc_walker_walk", "dmc_walker_run", "gym_Pendulum-v1")
    jobs = [(v, task, seed, {"algo": v, "frames": 4000}) for v in ("v1", "v3") for task in tasks for seed in range(3)]
    write_report([write_grid(place / "grid", "compare", jobs)], place)
    return place


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_csv_files_have_the_numbers_of_the_report(folder):
    report = json.loads((folder / "report.json").read_text())
    rows = read_csv(folder / "report_tables/scores.csv")
    assert [(row["task"], row["variant"], float(row["value"])) for row in rows] == [
        (row["task"], row["variant"], row["value"]) for row in report["scores"]
    ]
    assert float(rows[0]["random"]) == report["levels"]["dmc_walker_walk"]["random"]
    assert rows[0]["human"] == ""
    pairs = read_csv(folder / "report_tables/comparisons.csv")
    assert float(pairs[0]["improvement_low"]) == report["comparisons"][0]["improvement"]["low"]
    runs = read_csv(folder / "report_tables/runs.csv")
    assert len(runs) == 18
    assert float(runs[0]["episodes_std"]) == report["runs"][0]["episodes"]["std"]
    names = {path.stem for path in (folder / "report_tables").glob("*.csv")}
    assert names == {"scores", "comparisons", "aggregates", "aggregate_comparisons", "reach", "runs"}


def test_latex_files_are_tables_of_booktabs(folder):
    files = sorted((folder / "report_tables").glob("*.tex"))
    assert {path.stem for path in files} == {
        "scores", "comparisons", "aggregates_0", "aggregate_comparisons_0", "reach", "runs"
    }  # fmt: skip
    for path in files:
        lines = [line for line in path.read_text().splitlines() if not line.startswith("%")]
        columns = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0])[1]
        assert (lines[1], lines[3], *lines[-2:]) == (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}")
        rows = [lines[2], *lines[4:-2]]
        assert len(rows) > 1
        for row in rows:
            assert row.endswith(r" \\")
            assert len(re.split(r"(?<!\\)&", row)) == len(columns)
            assert row.isascii()
    assert r"dmc\_walker\_walk & " in (folder / "report_tables/scores.tex").read_text()


def test_special_characters_are_text():
    text = table_files.latex(ReportTable(["a_b", "50 %"], [["[x] & $y$ \\input{z}\n\\\\", "−1 ± 2"]]))
    assert r"a\_b & 50 \% \\" in text
    assert r"{}[x] \& \$y\$ \textbackslash{}input\{z\} \textbackslash{}\textbackslash{} & $-$1 $\pm$ 2 \\" in text
    assert table_files.csv_text([{"name": "=1+1", "value": -1.5}]) == "name,value\n'=1+1,-1.5\n"


def test_published_scores_in_per_cent():
    """The aggregates that the published table has: 26 games at 400k frames."""
    found = score_report(read_score_tables(FINALS))
    table = found["Aggregates in atari100k"]
    (row,) = [row for row in table.rows if row[0] == "burchim, 400,000 frames"]
    assert (table.head[2:5], row[2:5]) == (["environments", "mean", "median"], ["26", "109.9 %", "57.4 %"])
    scores = found["Scores in atari100k"]
    assert scores.head[:4] == ["environment", "random policy", "human", "human record"]
    (pong,) = [row for row in scores.rows if row[0] == "atari_pong"]
    assert (pong[1:4], pong[-1]) == (["−20.7", "14.6", "21.0"], "18.3 (110.5 %)")
    (row,) = [row for row in found["Aggregates in dmc_vision"].rows if row[0] == "burchim, 1,000,000 frames"]
    assert row[2:5] == ["20", "78.7 %", "85.9 %"]
    for table in found.values():
        assert len(set(table.head)) == len(table.head)


def test_tables_with_deviations_metrics_and_repeated_methods(tmp_path):
    rows = [("reward", [4.2, 1.2]), ("score, %", 3.0), ("reward", 5.0)]
    tables = [{"method": "ppo", "metric": metric, "tasks": {"crafter_reward": value}} for metric, value in rows]
    (tmp_path / "a.json").write_text(json.dumps({"tables": tables}))
    found = score_report(read_score_tables(tmp_path / "a.json"))
    assert found["Scores in reward"].head[-2:] == ["ppo", "ppo #2"]
    assert found["Scores in reward"].rows[0][-2:] == ["4.20", "5.00"]
    assert found["Scores in score, %"].rows[0][-1] == "3.00"


@pytest.mark.parametrize(("name", "text"), [
    ("own.json", '{"atari_pong": 14.6, "atari_boxing": 0.1, "gym_CartPole-v1": 500}'),
    ("own.json", '{"own": {"atari_pong": 14.6, "atari_boxing": 0.1, "gym_CartPole-v1": 500}}'),
    ("own.csv", "task,own\natari_pong,14.6\natari_boxing,0.1\ngym_CartPole-v1,500\n"),
])  # fmt: skip
def test_formats_of_scores(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = score_report(read_score_tables(tmp_path / name))
    assert found["Scores"].rows[0] == ["atari_pong", "−20.7", "14.6", "21.0", "–", "14.6 (100.0 %)"]
    assert found["Scores"].rows[2] == ["gym_CartPole-v1", "–", "–", "–", "500", "500"]
    assert found["Aggregates"].rows[0][:5] == ["own", found["Aggregates"].rows[0][1], "2", "50.0 %", "50.0 %"]
    assert "gym_CartPole-v1" in found["Aggregates"].note


@pytest.mark.parametrize(("name", "text", "problem"), [
    ("a.json", "[1]", "it does not hold a JSON object"), ("a.json", "{", "is not a table of scores"),
    ("a.json", '{"x": "high"}', "the score of x is not a finite number"), ("a.json", "{}", "has no scores"),
    ("a.json", '{"x": NaN}', "is not a table of scores"), ("a.json", '{"tables": [1]}', "lacks method or tasks"),
    ("a.csv", "name,own\nx,1\n", "no column `task`"), ("a.csv", "task,own\nx,high\n", "could not convert"),
    ("a.csv", "task,own\nx,1,2\n", "rows of different lengths"), ("a.csv", "task,own\nx,nan\n", "not a finite number"),
])  # fmt: skip
def test_malformed_scores_are_named(tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=re.escape(problem)) as caught:
        read_score_tables(tmp_path / name)
    assert "Expected a JSON object {task: score}" in str(caught.value)


def test_report_of_scores_on_the_command_line(tmp_path, capsys):
    assert program.main(["report", "--scores", str(FINALS), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"burchim, 400,000 frames +\(score − random\) / \(human − random\) +26 +109.9 % +57.4 %", printed)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"scores.csv", "scores_in_atari100k.tex", "scores_in_atari100k.md", "aggregates_in_atari100k.tex"} <= names
    first = read_csv(tmp_path / "out/scores.csv")[0]
    assert (first["method"], first["task"], float(first["score"])) == (
        "d4pg, 100,000,000 frames",
        "dmc_acrobot_swingup",
        91.7,
    )
    assert program.main(["report", "--scores", str(tmp_path / "no.json")]) == 2
    assert "Cannot read" in capsys.readouterr().err
    assert program.main(["report", "runs", "--scores", str(FINALS)]) == 2
    assert "omit runs, or omit --scores" in capsys.readouterr().err
