"""Files of a report: complete, self-contained, escaped, reproducible."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from common.analysis.report import (
    figure_style,
    films,
    formatting,
    gallery,
    html,
    markdown,
    run_tables,
    summary,
    tables,
    write_report,
)
from common.analysis.report.analysis import analyse
from common.analysis.report.films import ReportFilm, collect_films
from common.analysis.report.run_collection import load_runs
from common.storage import video
from tests.helpers import fake_runs
from tests.helpers.fake_runs import ablation, comparison, ladder, write_grid, write_run

pytestmark = pytest.mark.xdist_group("report_page")  # one worker makes the shared fixtures

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> $x_1$ |"


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    write_report([comparison(folder, failed=[("v2", "dmc_walker_walk", 3)])], folder)
    return folder


@pytest.fixture(scope="module")
def page(compared):
    return Page((compared / "report.html").read_text())


def test_the_page_has_no_external_resources(compared, page):
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href", "srcset", "action"):
            assert value.startswith(("#", "data:image/gif;base64,")), value
    text = (compared / "report.html").read_text()
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    assert "@import" not in text
    spaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"<]+", text)) == spaces
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes


def test_every_link_inside_the_page_has_a_target(compared, page):
    ids = {value for _, name, value in page.attributes if name == "id"}
    links = {value[1:] for _, name, value in page.attributes if name.endswith("href") and value.startswith("#")}
    assert links | set(re.findall(r"url\(#([^)]+)\)", (compared / "report.html").read_text())) <= ids


def test_the_page_has_all_contents(page):
    for text in (
        "V1, V2 and V3 on three tasks", "with 3 seeds each, at equal environment frames", "1 run left out",
        "v3 scores higher than v1 on", "8 of 12 comparisons are significant", "no significant difference",
        "Performance profile", "Environment frames to a score", "Learning curves over updates", "seconds of training",
        "Training diverged at frame 1,000", "Try a lower learning rate.", "Scale of advantages", "advantage.use",
        "0123456789", "torch 2.13.0", "Example CPU", "1.50 GiB", "1,234,567", "published dreamerv3", "score / 1000",
        "3 seeds", "Welch", "v1: image, seed 0, 20,000 frames",
    ):  # fmt: skip
        assert text in page.text, text
    assert page.tags.count("img") == 9
    assert page.tags.count("figure") == 9 + 3 * 4 + 7


def test_all_formats_have_the_same_numbers(compared):
    report = json.loads((compared / "report.json").read_text())
    text = (compared / "report.md").read_text()
    best = next(row for row in report["scores"] if row["variant"] == "v3")
    for place in (text, Page((compared / "report.html").read_text()).text):
        assert formatting.interval(best) in markdown.escape(place) or formatting.interval(best) in place.replace(
            "\\", ""
        )
    for name in re.findall(r"\]\((report_figures/[^)]+)\)", text):
        assert (compared / name).read_text().startswith("<svg")
    assert len(report["runs"]) == 27
    assert {run["seed"] for run in report["runs"]} == {0, 1, 2}


def test_the_same_runs_give_the_same_bytes(tmp_path):
    ablation(tmp_path / "grid")
    for name in "ab":
        write_report([tmp_path / "grid"], tmp_path / name)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) == 3 + 2 + 8  # page, document, numbers; figures; tables
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_markdown_tables_have_equal_columns(compared):
    tables = re.findall(r"(?:^\|.*\|$\n)+", (compared / "report.md").read_text(), re.M)
    assert len(tables) >= 8
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report with HTML and Markdown injections in everything that a user can set."""
    folder = tmp_path_factory.mktemp("hostile")
    jobs = [("harmless", "dmc_walker_walk", seed, {"film": seed == 0, "frames": 2000}) for seed in range(2)]
    jobs += [("other", "dmc_walker_walk", seed, {"frames": 2000, "loss__con": "2"}) for seed in range(2)]
    grid = write_grid(folder / "grid", "ablate", jobs, title=HOSTILE, baseline="harmless")
    content = json.loads((grid / "grid.json").read_text())
    content["variants"] = ["harmless", HOSTILE]
    for job in content["jobs"]:
        job["variant"] = HOSTILE if job["variant"] == "other" else job["variant"]
    content["jobs"].append(content["jobs"][0] | {"name": HOSTILE, "status": "failed", "error": HOSTILE})
    (grid / "grid.json").write_text(json.dumps(content))
    for info in grid.glob("runs/*/*/*/run.json"):
        facts = json.loads(info.read_text())
        facts["sessions"][0] |= {
            "git": HOSTILE,
            "packages": {HOSTILE: HOSTILE},
            "hardware": {"cpu": HOSTILE, "cores": 2, "gpus": []},
        }
        info.write_text(json.dumps(facts))
    video = next(grid.glob("runs/*/*/*/videos/*.gif"))
    video.rename(video.with_name("openloop_<b>x<b>_000000001.gif"))
    write_report([grid], folder / "out")
    return folder / "out"


def test_hostile_names_are_escaped(hostile):
    page = Page((hostile / "report.html").read_text())
    assert not {"script", "b"} & set(page.tags)
    assert page.tags.count("img") == 1
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") >= 8
    assert "$x_1$" in page.text
    drawing = Page((hostile / "report_figures/effects_0.svg").read_text())
    assert "script" not in drawing.tags
    assert "<" not in re.sub(r"\\<", "", (hostile / "report.md").read_text())


def test_fewer_than_three_seeds_give_a_warning(tmp_path):
    jobs = [(v, "dmc_walker_walk", s, {"algo": v, "frames": 4000}) for v in ("v1", "v2") for s in range(2)]
    report = analyse(load_runs([write_grid(tmp_path, "ablate", jobs, baseline="v1")]))
    assert summary.warning(report).startswith("Too few seeds.")
    assert summary.findings(report) == []
    page = Page(html.render(report, gallery.draw_gallery(report), [], []))
    assert "needs at least 3 seeds each; there are only 2 seeds." in page.text
    assert page.text.count("A dash in place of an interval, p, chance or verdict: fewer than 3 seeds") == 2
    assert not re.findall(r"v\d scores (higher|lower)|significant difference", page.text)


def test_report_on_one_run(tmp_path):
    report = analyse(load_runs([write_run(tmp_path / "run", task="gym_Pendulum-v1", worst=-900, best=-100)]))
    page = Page(html.render(report, gallery.draw_gallery(report), [], []))
    assert "1 variant (v3) on 1 task (gym_Pendulum-v1) with 1 seed each." in page.text
    assert not gallery.draw_gallery(report).aggregates
    assert ("section", "id", "all") not in page.attributes
    assert "The configs are the same" in page.text
    assert report["comparisons"] == []


def test_report_on_a_run_without_optional_files(tmp_path):
    """Runs of earlier revisions lack parameters, memory and evaluation, and may lack run.json."""
    logdir = write_run(tmp_path / "run", frames=2000, evaluation=False)
    (logdir / "run.json").unlink()
    row = run_tables.runs(analyse(load_runs([logdir]))).rows[0]
    assert row[2:] == ["0", row[3], row[4], "–", "2,000", "200", row[8], "–", "40 s", "–", "–", "A"]
    assert row[4] == f"0.00, {row[3]} to {row[3]}"  # a single episode


def test_the_report_states_where_unequal_runs_are_cut_off(tmp_path):
    for seed, frames in enumerate((3000, 4000)):
        write_run(tmp_path / str(seed), seed=seed, frames=frames)
    report = analyse(load_runs([tmp_path]))
    sentence = "dmc_walker_walk: cut off at 3,000 environment frames, where v3, seed 0 ends. The longest run has 4,000 "
    assert tables.cuts(report, "frames") == [f"{sentence}environment frames."]
    assert sentence in Page(html.render(report, gallery.draw_gallery(report), [], [])).text
    assert report["curves"]["frames"]["dmc_walker_walk"]["curves"]["v3"]["x"][-1] == 3000


def test_a_variant_has_one_colour_in_all_figures(compared):
    report = json.loads((compared / "report.json").read_text())
    look, swatches = (
        gallery.line_styles(report),
        {entry["name"]: entry["color"] for entry in html.legend_entries(report)},
    )
    assert swatches["v1"] == "var(--hue0)"
    assert len({swatches[v] for v in report["variants"]}) == 3
    for picture in gallery.curves(report, "frames") + gallery.aggregates(report, 0)[:5]:
        drawn = set(re.findall(r"stroke: (var\(--hue\d\))", picture.svg))
        assert drawn == {swatches[v] for v in report["variants"]}
    assert [look[v][0] for v in ("v1", "v2", "v3")] == [figure_style.COLORS[f"hue{i}"][0] for i in range(3)]


def test_more_variants_than_colours_have_distinct_styles():
    look = figure_style.LineStyles([str(i) for i in range(20)])
    assert len(set(look.values())) == 20


def contrast(one, two):
    """Return the contrast ratio of two colours."""
    light = []
    for color in (one, two):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        light.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_colours_have_enough_contrast(theme):
    page = figure_style.COLORS["page"][theme]
    least = {"ink": 7, "muted": 4.5, "line": 1.2} | dict.fromkeys(figure_style.VARIANTS, 2.8)
    assert {
        name: contrast(figure_style.COLORS[name][theme], page) >= ratio for name, ratio in least.items()
    } == dict.fromkeys(least, True)


def test_all_colours_of_figures_follow_the_theme(compared):
    for path in (compared / "report_figures").glob("*.svg"):
        drawing = path.read_text().split("</style>")[1]
        assert not re.findall(r"(?:fill|stroke): #\w+", drawing), path


def test_an_ablation_without_its_baseline_shows_no_effects(tmp_path):
    """Otherwise, differences between variants would look like differences from the version."""
    runs = [(f"no_{name}", "dmc_walker_walk", seed, {"frames": 2000}) for name in "ab" for seed in range(2)]
    write_grid(tmp_path, "ablate", runs, baseline="v3", failed=[("v3", "dmc_walker_walk", 0)])
    report = analyse(load_runs([tmp_path]))
    assert report["pairs"] == [["no_b", "no_a"]]
    assert gallery.effects(report) == []


def test_an_ablation_shows_differences_from_the_baseline(tmp_path):
    report = analyse(load_runs([ablation(tmp_path)]))
    (picture,) = gallery.effects(report)
    drawing = Page(picture.svg).text
    order = [drawing.index(name) for name in ("without retnorm", "without symlog", "without unimix")]
    assert order == sorted(order)
    assert "difference from v3" in drawing


def test_a_ladder_warns_about_rungs_without_runs(tmp_path):
    runs = [(f"rung {i}", "dmc_walker_walk", seed, {"frames": 2000}) for i in (0, 2) for seed in range(3)]
    write_grid(tmp_path, "ladder", runs, failed=[("rung 1", "dmc_walker_walk", 0)])
    grid = json.loads((tmp_path / "grid.json").read_text())
    (tmp_path / "grid.json").write_text(json.dumps(grid | {"variants": ["rung 0", "rung 1", "rung 2"]}))
    expected = "rung 1 has no finished run: the step to the next rung includes the changes of both."
    assert summary.warning(analyse(load_runs([tmp_path]))) == expected


def test_a_ladder_shows_steps_from_rung_to_rung(tmp_path):
    report = analyse(load_runs([ladder(tmp_path, rungs=8)]))
    (picture,) = gallery.effects(report)
    drawing = Page(picture.svg).text
    assert all(f"rung {i}" in drawing for i in range(8))
    assert len(gallery.curves(report, "updates")) == 8  # one for each variant
    changes = tables.config(report)
    assert changes.head == ["variant", "concept", "key", "from", "to"]
    assert ["rung 1 compared with rung 0", "1.0", "2.0"] in [[row[0], *row[3:]] for row in changes.rows]


def test_films_are_the_newest_of_the_first_seed(tmp_path):
    for seed in range(2):
        logdir = write_run(tmp_path / str(seed), seed=seed, frames=2000, film=True)
        if seed:
            fake_runs.write_film(logdir, 9000, 5)
        (logdir / "videos/openloop_image_000000500.gif").write_bytes(b"old")
    found, dropped = collect_films(load_runs([tmp_path]))
    assert [film[:5] for film in found] == [("v3", "dmc_walker_walk", "image", 0, 2000)]
    assert found[0].data.startswith(b"GIF8")
    assert not dropped


def test_films_that_are_too_large_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(films, "MAX_FILM_BYTES", 10)
    found, dropped = collect_films(load_runs([write_run(tmp_path / "run", frames=2000, film=True)]))
    assert (found, len(dropped)) == ([], 1)
    assert dropped[0].startswith("image of v3 on dmc_walker_walk (")


def test_a_film_is_in_the_page(tmp_path):
    report = analyse(load_runs([write_run(tmp_path / "run", frames=2000)]))
    film = ReportFilm("v3", "dmc_walker_walk", "image", 0, 2000, b"GIF89a")
    assert ("img", "src", "data:image/gif;base64,R0lGODlh") in Page(
        html.render(report, gallery.draw_gallery(report), [film], [])
    ).attributes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formatting.score(1234.5), "1,234"),
        (formatting.score(-0.126, sign=True), "−0.13"),
        (formatting.score(12.34), "12.3"),
        (formatting.score(None), "–"),
        (formatting.score(float("nan")), "–"),
        (formatting.short(1.5e6), "1.5M"),
        (formatting.short(20_000), "20k"),
        (formatting.short(5000, 1e3), "5k"),
        (formatting.duration(45), "45 s"),
        (formatting.duration(738), "12.3 min"),
        (formatting.duration(18360), "5.1 h"),
        (formatting.memory(3 * 2**29), "1.50 GiB"),
        (formatting.join_names(["a", "b", "c"]), "a, b and c"),
        (formatting.join_names(["a"]), "a"),
        (formatting.interval({"value": 5.0, "low": None, "high": None}), "5.00 [–]"),
        (formatting.interval({"value": 500.0, "low": 400.0, "high": 600.0}, sign=True), "+500 [+400, +600]"),
    ],
)
def test_formatted_numbers(text, expected):
    assert text == expected


def test_films_of_vectors_have_the_background_of_the_card_and_a_caption(tmp_path):
    logdir = write_run(tmp_path / "run", frames=2000, film=True)
    truth = np.linspace(0, 1, 24).reshape(1, 8, 3)
    data = video.encode_gif(video.open_loop_frames(truth, truth, 3))
    (logdir / "videos/openloop_position_000002000.gif").write_bytes(data)
    runs = load_runs([logdir])
    found, _ = collect_films(runs)
    assert [(film.key, film.curves) for film in found] == [("image", False), ("position", True)]
    report = analyse(runs)
    page = Page(html.render(report, gallery.draw_gallery(report), found, []))
    assert page.attributes.count(("img", "class", "curves")) == page.attributes.count(("div", "class", "card")) == 1
    assert "the first numbers of a vector in the first clip, truth in blue, model in orange" in page.text
    assert "played by" not in page.text
    shared = [found[1]._replace(variant=name, shared=True) for name in ("v1", "v3")]
    page = Page(html.render(report, gallery.draw_gallery(report), shared, []))
    assert "Curves show one clip for all variants, played by v1." in page.text
    assert "Images, from top to bottom" not in page.text
