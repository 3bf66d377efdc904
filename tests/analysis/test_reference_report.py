"""Published curves in reports on own runs."""

import pytest

from common.analysis.report.analysis import analyse
from common.analysis.report.run_collection import load_runs
from tests.helpers.fake_runs import write_run


@pytest.mark.parametrize(("settings", "methods"), [
    ({"env__obs": "vector"}, {"dreamerv3_2023"}),
    ({"env__obs": "image"}, {"dreamerv1", "dreamerv2", "dreamerv3", "dreamerv3_2023"}),
    ({"task": "metaworld_reach-v3"}, set()),
    ({"task": "dmc_dog_run", "env__obs": "vector"}, {"dreamerv3_2023_rerun"}),
])  # fmt: skip
def test_reports_draw_the_curves_of_each_agent(tmp_path, settings, methods):
    """The runs by others are drawn where the authors published none, success rates never."""
    write_run(tmp_path / "run", frames=500_000, length=5000, **settings)
    published = analyse(load_runs([tmp_path]))["published"]
    assert {curve["method"] for found in published.values() for curve in found} == methods
