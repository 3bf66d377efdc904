"""Amounts of training: a notice if updates or replayed steps of variants differ more than twofold, in reports also."""

import json
import re

import pytest

from common.analysis.report import write_report
from common.analysis.training_amounts import TrainingAmount, mean_amounts, uneven_notice
from tests.helpers.fake_runs import write_grid

V1, V3 = TrainingAmount("v1", "walk", 1000, 250_000), TrainingAmount("v3", "walk", 18_001, 500_000)


def test_the_notice_names_the_extremes_and_the_flags():
    assert uneven_notice([V1, V3], "frames") == (
        "The variants train unequally. On walk: 1,000 updates of v1 to 18,001 of v3 (18 times). "
        "Use --match updates or --match replayed for equal numbers."
    )
    more = [*(row._replace(task="run", replayed=row.updates) for row in (V1, V3)), V3._replace(task="stand")]
    notice = uneven_notice([V1, V3, *more], "replayed")
    assert "1 more task differs more than twofold. Use --match updates for" in notice
    assert "--match" not in uneven_notice([V1, V3])


def test_replayed_steps_count_also():
    amounts = [V1._replace(replayed=2000.0), V1._replace(variant="v2", replayed=0.0)]
    assert "On walk: 0 replayed steps of v2 to 2,000 of v1." in uneven_notice(amounts)


@pytest.mark.parametrize("other", [V1._replace(variant="v3", updates=2000), V3._replace(task="run")])
def test_up_to_twofold_differences_on_a_task_have_no_notice(other):
    assert uneven_notice([V1, other], "frames") == ""


def test_seeds_are_averaged():
    assert mean_amounts([V1, V3, V1._replace(updates=2000)]) == [V1._replace(updates=1500), V3]


def test_a_report_has_the_notice_and_updates_next_to_scores(tmp_path):
    runs = [("v1", "walk", 0, {"algo": "v1", "rate": 0.02, "frames": 4000}),
            ("v3", "walk", 0, {"rate": 0.2, "frames": 4000})]  # fmt: skip
    grid = write_grid(tmp_path, "compare", [(v, "dmc_walker_walk", seed, more) for v, _, seed, more in runs])
    stored = json.loads((grid / "grid.json").read_text()) | {"own": {"v3": {"schedule.ratio": "32"}}}
    (grid / "grid.json").write_text(json.dumps(stored))
    write_report([grid], grid)
    page, text = (grid / "report.html").read_text(), (grid / "report.md").read_text()
    for shown in (page, text):
        assert "80 updates of v1 to 800 of v3 (10 times)" in shown
        assert "v3 has schedule.ratio 32" in shown
    assert re.search(r"^\| updates \|[ |]* 80 \| 800 \|$", text, re.M)
    assert json.loads((grid / "report.json").read_text())["training"][1]["updates"] == 800
    assert (grid / "report_tables/scores.csv").read_text().splitlines()[0].count("updates") == 1
