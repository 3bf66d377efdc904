"""Films without a browser: scripts, `--record`, and messages about runs that do not fit."""

import io
import shutil

import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from common.errors import UserError
from common.storage import spaces as stored_spaces
from common.viewer import films, script
from common.viewer.runs import check_observations, load_runs, picture_key, short_names
from common.viewer.settings import Settings
from tests.helpers.command_line import expect_error, run_in_this_process
from tests.helpers.saved_runs import untrained

SCRIPT = """
set where dream      # from here on
set latent mode
random 2
2 3
agent
new_start
set view difference
"""


def gif_frames(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.n_frames, image.size


def test_a_script_takes_its_steps(make_session, tmp_path):
    (tmp_path / "film.txt").write_text(SCRIPT)
    session = make_session(["v1", "v3"], "dummy_mixed", memory=None)
    script.run_script(session, script.read_script(str(tmp_path / "film.txt")))
    actions = [frame.numbers["action"] for frame in session.history]
    assert len(actions) == 1 + 2 + 3 + 1 + 1
    assert actions[0] is actions[-1] is None  # starts
    assert actions[3:6] == [[2]] * 3
    assert (session.settings.latent, session.settings.view, session.settings.who) == ("mode", "difference", "agent")
    pictures = films.film(session)
    assert pictures.shape[0] == 8
    assert pictures.shape[1] % 2 == pictures.shape[2] % 2 == 0
    assert gif_frames(films.encode(pictures, ".gif", 15)) == (8, pictures.shape[2:0:-1])


def test_actions_of_a_script_have_names_or_numbers(make_session):
    games, points = make_session([], "atari_pong"), make_session([], "dummy_point")
    assert script.action_numbers(games.actions, "RIGHT") == [games.actions.names.index("RIGHT")]
    script.run_script(points, [(1, ["-0.5", "2"])])
    assert [frame.numbers["action"] for frame in points.history][1:] == [[-0.5], [-0.5]]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("jump 3", "'jump' is not an action, agent, random or a command"),
        ("2 many", "the number of steps is from 1 to 3000, got 'many'"),
        ("2 3001", "got '3001'"),
        ("2 2999\n2 2", "line 2: a film has at most 3,000 steps"),
        ("7", "Actions here are whole numbers from 0 to below"),
        ("set where", "a setting is `set NAME VALUE`"),
        ("set where heaven", "where must be one of environment, dream"),
        ("1 2 3", "expected `ACTION STEPS`"),
        ("# nothing", "has no command"),
    ],
)
def test_wrong_lines_are_refused_with_their_number(line, part, make_session, tmp_path, monkeypatch):
    (tmp_path / "film.txt").write_text(line)
    session = make_session(["v1"], "dummy_mixed", memory=None)
    monkeypatch.setattr(session, "step", lambda: session.history.append(None))
    with pytest.raises(UserError) as caught:
        script.run_script(session, script.read_script(str(tmp_path / "film.txt")))
    assert part in str(caught.value)
    assert "line" in str(caught.value) or "has no command" in part


def test_titles_and_pictures_of_a_film_follow_the_view(make_session):
    session = make_session(["v2"], "dummy_mixed", settings=Settings(view="real"))
    for _ in range(8):
        session.step()
    real = films.film(session, 3)
    half = (real.shape[2] - films.GAP) // 2
    pictures = real[:, films.TITLE_HEIGHT :]
    assert np.array_equal(pictures[:, :, :half], pictures[:, :, -half:])
    assert not np.array_equal(real[:, : films.TITLE_HEIGHT, :half], real[:, : films.TITLE_HEIGHT, -half:])
    session.change("view", "model")
    assert not np.array_equal(real, films.film(session, 3))


def test_vectors_are_filmed_as_curves(make_session):
    session = make_session(["v3"], "dummy_point")
    for _ in range(4):
        session.step()
    assert films.film(session).shape[2] > 320  # curves of the model, next to what the environment draws


def test_record_writes_a_film_of_the_agent(run_folder, tmp_path):
    runs = [str(run_folder(algo, "dummy_mixed")) for algo in ("v1", "v2", "v3")]
    done = run_in_this_process("dream", "--logdirs", *runs, "--record", "out/film.gif", "--steps", "6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "7 frames of dummy_mixed, 3 dream(s)" in done.stdout
    assert gif_frames((tmp_path / "out" / "film.gif").read_bytes())[0] == 7


def test_mp4(run_folder, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="mp4 needs imageio-ffmpeg")
    run = str(run_folder("v3", "dummy_mixed"))
    done = run_in_this_process("dream", "--logdir", run, "--record", "film.mp4", "--steps", "6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    about = next(ffmpeg.read_frames(str(tmp_path / "film.mp4")))
    assert about["size"] == (2 * films.PANE_HEIGHT + films.GAP, films.PANE_HEIGHT + films.TITLE_HEIGHT)
    assert ffmpeg.count_frames_and_secs(str(tmp_path / "film.mp4"))[0] == 7


def test_play_records_a_script(tmp_path):
    (tmp_path / "film.txt").write_text("1 3\nrandom 2\n")
    done = run_in_this_process(
        "play", "--task", "dummy_mixed", "--record", "film.gif", "--actions", "film.txt", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert gif_frames((tmp_path / "film.gif").read_bytes())[0] == 6


def test_wrong_command_lines_say_what_to_type(run_folder, tmp_path, monkeypatch):
    logdir = str(run_folder("v1", "dummy_mixed"))
    refuse = lambda *words, says: expect_error(*words, cwd=tmp_path, says=says)
    refuse("dream", says="--logdirs logs/v1 logs/v2 logs/v3")
    refuse("dream", logdir, "--port", "0", "--actions", "no.txt", says="add --record FILE")  # read as --logdirs
    refuse("dream", "--logdir", logdir, "--algo", "v1", says="omit --algo")
    refuse("dream", "--logdirs", *[logdir] * 5, "--record", "x.gif", says="Give 1 to 4 run directories, got 5")
    refuse("dream", "--logdir", logdir, "--record", "x.avi", says="ends with .gif or .mp4")
    refuse("dream", "--logdir", logdir, "--record", "x.gif", "--steps", "0", says="--steps of a film is from 1")
    refuse("dream", "--logdir", logdir, "--record", "x.gif", "--actions", "no.txt", says="cannot be read")
    refuse("dream", "--logdir", logdir, "--actions", "no.txt", says="add --record FILE")
    refuse("dream", "--logdir", logdir, "--port", "70000", says="--port is from 0 to 65535")
    refuse("dream", "--logdir", "nowhere", "--record", "x.gif", says="nowhere")
    refuse("play", says="--task atari_pong")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refuse("dream", "--logdir", logdir, says="pip install starlette uvicorn websockets")


def test_runs_that_cannot_share_an_environment_are_refused(run_folder):
    one, two = (str(run_folder("v1", task)) for task in ("dummy_mixed", "dummy_point"))
    with pytest.raises(UserError, match=r"differ in their task: dummy_mixed and dummy_point.*--logdir"):
        load_runs([one, two])


def test_runs_with_different_actions_are_refused(run_folder, tmp_path):
    one, two = run_folder("v1", "dummy_point"), tmp_path / "two"
    shutil.copytree(one, two)
    found = stored_spaces.read(two)
    stored_spaces.write(two, found._replace(action=spaces.Discrete(3)))
    with pytest.raises(UserError, match=r"differ in their actions: Box.* and Discrete\(3\), so they cannot .*--logdir"):
        load_runs([str(one), str(two)])


def test_observations_that_the_task_no_longer_has_are_named(run_folder):
    run = load_runs([str(run_folder("v1", "dummy_mixed"))])[0]
    space = spaces.Dict(dict(run.space.items()) | {"image": spaces.Box(0, 255, (96, 96, 1), np.uint8)})
    check_observations([run.space], [run])
    with pytest.raises(UserError, match=r"other observations \(image \(64, 64, 3\).*now \(image \(96, 96, 1\)"):
        check_observations([space], [run])


def test_a_run_without_a_decoder_for_the_image_is_refused(tmp_path, run_folder):
    untrained(tmp_path / "blind", "v3", "dummy_mixed", decoder__keys="vector")
    runs = load_runs([str(tmp_path / "blind")])
    with pytest.raises(UserError, match=r"no decoder for 'image': its decoder.keys is 'vector'.*--key none"):
        picture_key(["image"], runs)
    assert picture_key(["image"], runs, "none") is None
    with pytest.raises(UserError, match=r"no image 'vector'. Its images are image"):
        picture_key(["image"], runs, "vector")
    with pytest.raises(UserError, match=r"It has no images, only vectors. Omit --key"):
        picture_key([], runs, "image")
    assert picture_key([], runs) is None


def test_names_of_runs_are_short(tmp_path):
    assert short_names([tmp_path / "a" / "v1", tmp_path / "a" / "v2"]) == ["v1", "v2"]
    assert short_names([tmp_path / "a" / "0", tmp_path / "b" / "0"]) == ["a/0", "b/0"]
    assert short_names([tmp_path / "a", tmp_path / "a"]) == ["a (1)", "a (2)"]
