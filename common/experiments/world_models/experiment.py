"""From a request to a grid of world models: variants x seeds on one frozen replay, listed or run."""

import contextlib
import json
import shlex
from pathlib import Path
from typing import Any

from gymnasium import spaces

from common.analysis.world_models import PROTOCOL_FILE, write_world_model_report
from common.config import config as configs
from common.config.request import Request
from common.errors import UserError
from common.experiments.ablation import make_variant
from common.experiments.grid.experiment import available_cores, parallel_runs
from common.experiments.grid.results import failure_text, read_jobs
from common.experiments.grid.run_progress import is_trained
from common.experiments.grid.runner import ScheduledJob, run_grid
from common.experiments.variant import Setting, Variant, describe_variants
from common.experiments.world_models.frozen import FrozenRecords
from common.experiments.world_models.run import Protocol, is_measured, train_and_measure
from common.files import slug, write_text
from common.safe_io import expand_path, read_json
from common.storage.grid_file import GRID_FILE, Grid, Job, JobState, write_grid
from common.storage.logdir import stored_config
from common.training.offline import offline_config

KIND = "wm-eval"
SAVES, LOGS = 20, 100  # checkpoints and lines of metrics of a run
#: Config keys that are the same for all runs: the batches.
DATA_FLAGS: dict[str, Any] = {
    "sampler.use": "Windows",
    "sampler.online": False,
    "replay.context": 0,
    "replay.force_first": False,
    "replay.disk": False,
    "run.eval_every": 0,
    "run.video_every": 0,
}
#: Config keys without an effect on a world model: an ablation that changes no other key compares equal models.
OTHER_KEYS = {"critic", "returns", "slow", "replay_value", "policy_cont", "policy_disc", "grad_cont", "grad_disc"} | {
    "advantage", "reward_norm", "explore", "order", "actor", "imagination", "schedule", "sampler", "replay", "env",
    "loss.actor", "loss.critic", "mlp.actor", "mlp.critic", "clip.actor", "clip.critic",
    "optim.lr.actor", "optim.lr.critic", "optim.eps.actor", "optim.eps.critic", "batch_size", "batch_length",
}  # fmt: skip
MINIMA = {"updates": 1, "seeds": 1, "first-seed": 0, "split-seed": 0, "context": 1, "horizon": 1, "jobs": 0}
SET_BY_COMMAND = {"seed": "--seeds and --first-seed", "steps": "--updates", "run.offline": "--replay"}


def compare_world_models(request: Request) -> None:
    """Train the world model of each variant with each seed on the same batches, measure all, and report.

    Raises UserError for wrong flags and records before any run starts, and for failed runs at the end.
    """
    options = check_options(request)
    folder, only = expand_path(options["logdir"] or "logs/wm-eval"), options["only"]
    protocol = read_protocol(request)
    records = protocol.read(complete=False)
    check_lengths(records, protocol)
    protocol = protocol._replace(fingerprint=records.fingerprint)
    variants, text = make_variants(request, records)
    jobs = make_jobs(request, variants, options)
    if options["dry-run"]:
        parallel = parallel_runs(request)
        print(text, f"{len(jobs)} runs, {parallel} at a time, in {folder}", sep="\n")
        print(*(f"# {job.name}: {job.config['steps']:,} updates\n{command(job, folder)}" for job in jobs), sep="\n")
        return
    about = describe(records, protocol, jobs)
    title = f"World models of {', '.join(variants)} on {about['task']}"
    grid = Grid(KIND, title, "updates", list(variants))
    if only:
        train_one(folder, grid, jobs, only, protocol, about)
        return
    print(text, flush=True)
    plan = lambda job: WorldModelJob(job, folder / job.logdir, 0, protocol=protocol, folder=folder)
    del records  # each run reads its own
    run_grid(folder, grid, jobs, parallel_runs(request), plan=plan, prepare=lambda: store_protocol(folder, about))
    finish(folder)


def check_options(request: Request) -> dict[str, Any]:
    """Return the command's own flags. Raises UserError for wrong values."""
    options = request.options
    if request.positionals:
        raise UserError(f"wm-eval takes only flags, got {' '.join(request.positionals)}. Name records with --replay.")
    if not options["replay"]:
        raise UserError("wm-eval needs --replay DIR: the directory of a run, or a folder of .npz episodes.")
    for key, least in MINIMA.items():
        if options[key] < least:
            raise UserError(f"--{key} must be at least {least}, got {options[key]}.")
    if not 0 < options["held-out"] <= 0.5:
        raise UserError(f"--held-out is a share of the episodes, above 0 and at most 0.5, got {options['held-out']}.")
    for key, instead in SET_BY_COMMAND.items():
        if key in request.flags:
            raise UserError(f"--{key} does not apply to wm-eval. Use {instead}.")
    return options


def read_protocol(request: Request) -> Protocol:
    """Return the protocol of the request, without the fingerprint."""
    options = request.options
    where = str(expand_path(options["replay"]))
    return Protocol(where, options["held-out"], options["split-seed"], options["context"], options["horizon"])


def check_lengths(records: FrozenRecords, protocol: Protocol) -> None:
    """Raise UserError if no held-out episode is long enough to predict from."""
    longest = max(episode.stop - episode.begin for episode in records.split.held_out)
    if longest <= protocol.context:
        raise UserError(
            f"The longest held-out episode has {longest} records, which leaves nothing to predict after "
            f"{protocol.context}. Give --context {max(1, longest // 2)} or less."
        )


def make_variants(request: Request, records: FrozenRecords) -> tuple[dict[str, Request], str]:
    """Return name -> request of each version and of each version without a feature, and a text about them.

    Raises UserError for a version that cannot read the observations, and for impossible or ineffective ablations.
    """
    names = list(dict.fromkeys([*request.options["algos"], *filter(None, [request.algo])]))
    if not names:
        raise UserError(f"Name versions with --algos, such as --algos {','.join(request.algos[:3])}.")
    shared = shared_flags(request, records, names)
    task = str(shared["task"])
    setting = Setting({task: 0}, stored=(records.spaces.observation, records.spaces.action))
    found: dict[str, Request] = {}
    changed: list[Variant] = []
    for name in names:
        base = request._replace(algo=name, flags=shared | request.flags)
        if problem := setting.problem(setting.configs(base)):
            raise UserError(f"{name} cannot learn from {records.folder}: {problem} Or leave {name} out of --algos.")
        found[name] = base
        changed += ablated(base, request.options["ablate"], setting, f"{name} " * (len(names) > 1))
        found |= {one.name: one.request for one in changed}
    check_all_used(request, changed, found, setting)
    return found, describe_variants([f"World models of {', '.join(names)}."], changed, [], {task: 0})


def ablated(base: Request, words: list[str], setting: Setting, prefix: str) -> list[Variant]:
    """Return the variants of a version without features; features that it does not have are skipped."""
    found = []
    for word in words:
        title = prefix + (word if "=" in word else f"no_{word}")
        with contextlib.suppress(UserError):
            found.append(make_variant(base, title, word, setting, setting.configs(base)))
    return found


def check_all_used(request: Request, changed: list[Variant], found: dict[str, Request], setting: Setting) -> None:
    """Raise UserError for a word of --ablate that no version has, or that leaves a world model as it is."""
    for word in request.options["ablate"]:
        own = [one for one in changed if one.name.split(" ")[-1] in (word, f"no_{word}")]
        for one in own:
            check_effect(one, str(one.request.algo), word)
        if not own:
            base = next(iter(found.values()))
            make_variant(base, word, word, setting, setting.configs(base))  # raises the reason


def check_effect(variant: Variant, name: str, word: str) -> None:
    """Raise UserError if an ablation leaves the world model as it is."""
    without_effect = lambda key: any(key == other or key.startswith(f"{other}.") for other in OTHER_KEYS)
    if all(map(without_effect, variant.changes)):
        raise UserError(
            f"{word} changes nothing in the world model of {name}: it is about behaviour or data. Remove it from "
            f"--ablate, or use: python dreamer.py ablate {name} --drop {word}"
        )


def shared_flags(request: Request, records: FrozenRecords, names: list[str]) -> dict[str, Any]:
    """Return the flags of all runs: the task and its rendering, the batches, intervals of logs and checkpoints.

    The size of the batch is that of the last version, unless it is given.
    """
    updates, source = request.options["updates"], source_flags(records.folder)
    source["task"] = request.flags.get("task", source["task"])
    sizes = request.config(names[-1], task=source["task"])
    source = {key: value for key, value in source.items() if key in configs.flatten(sizes)}
    shared = {key: sizes[key] for key in ("batch_size", "batch_length")}
    shared |= {"run.log_every": max(1, updates // LOGS), "run.save_every": max(1, updates // SAVES)}
    return source | DATA_FLAGS | shared


def source_flags(folder: Path) -> dict[str, Any]:
    """Return the task of the records and the settings of its environment; the name of a folder of episode files."""
    if any(folder.glob("*.npz")):
        return {"task": f"stored:{slug(folder.name)}"}
    config = stored_config(folder)
    return {"task": config["task"]} | configs.flatten({"env": config["env"]})


def make_jobs(request: Request, variants: dict[str, Request], options: dict[str, Any]) -> list[Job]:
    """Return all jobs, ordered by seed, so that the first results cover all variants."""
    one_thread = {"run.threads": 1} if parallel_runs(request) >= available_cores() else {}
    seeds = range(options["first-seed"], options["first-seed"] + options["seeds"])
    flags = {"steps": options["updates"], "run__offline": str(expand_path(options["replay"]))}
    jobs = []
    for seed in seeds:
        for name, variant in variants.items():
            variant = variant._replace(flags=one_thread | variant.flags)
            config = offline_config(variant.config(str(variant.algo), seed=seed, **flags))
            jobs.append(Job(name, config["task"], seed, words_of(request), config))
    return jobs


def words_of(request: Request) -> list[str]:
    """Return the words of this command, without folder, seeds' order or the flags that only its own process reads."""
    options = request.options
    names = list(dict.fromkeys([*options["algos"], *filter(None, [request.algo])]))
    words = ["--replay", str(expand_path(options["replay"])), "--algos", *names]
    words += ["--ablate", *options["ablate"]] if options["ablate"] else []
    for key in ("updates", "seeds", "first-seed", "held-out", "split-seed", "context", "horizon", "jobs"):
        words += [f"--{key}", str(options[key])]
    return [*words, *request._replace(algo="").train_arguments()[2:]]


def command(job: Job, folder: Path) -> str:
    """Return the command line of one run."""
    return f"python dreamer.py wm-eval {shlex.join(job.words)} --logdir {folder} --only {shlex.quote(job.name)}"


class WorldModelJob(ScheduledJob):
    """A job that trains and measures a world model in one process."""

    def __init__(self, job: Job, logdir: Path, episodes: int, *, protocol: Protocol, folder: Path):
        super().__init__(job, logdir, episodes)
        self.protocol, self.folder = protocol, folder

    def next_command(self) -> list[str]:
        """Return the arguments of the command; empty if the job is done."""
        if is_trained(self.logdir, self.job.config) and is_measured(self.logdir, self.protocol):
            return []
        return [KIND, *self.job.words, "--logdir", str(self.folder), "--only", self.job.name]


def train_one(folder: Path, grid: Grid, jobs: list[Job], only: str, protocol: Protocol, about: dict[str, Any]) -> None:
    """Train and measure one run of a comparison in this process, which may be on another machine than the others."""
    job = next((job for job in jobs if job.name == only), None)
    if job is None:
        raise UserError(f"--only {only} is not a run of this comparison. Its runs: {', '.join(j.name for j in jobs)}.")
    store_protocol(folder, about)
    if not (folder / GRID_FILE).exists():
        write_grid(folder, grid, jobs, [JobState() for _ in jobs])
    logdir = folder / job.logdir
    train_and_measure(logdir, job.config | {"logdir": str(logdir)}, protocol)


def describe(records: FrozenRecords, protocol: Protocol, jobs: list[Job]) -> dict[str, Any]:
    """Return the facts about the data that are stored with the results."""
    split, config = records.split, jobs[0].config
    action = records.spaces.action
    return {
        "protocol": protocol._asdict(),
        "task": config["task"],
        "observations": {key: list(box.shape or ()) for key, box in records.spaces.observation.items()},
        "actions": int(action.n) if isinstance(action, spaces.Discrete) else str(action),
        "records": len(records.ring),
        "training_records": records.training_length,
        "training_episodes": len(split.training),
        "held_out_episodes": len(split.held_out),
        "held_out": [[episode.stream, episode.begin, episode.stop] for episode in split.held_out],
        "batch": [config["batch_size"], config["batch_length"]],
    }


def store_protocol(folder: Path, about: dict[str, Any]) -> None:
    """Store the facts about the data. Raises UserError if the folder has a comparison on other data."""
    path = folder / PROTOCOL_FILE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        stored = read_json(path)
        before, now = (dict(facts["protocol"], batch=str(facts["batch"])) for facts in (stored, about))
    except FileNotFoundError:
        before = now = {}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Restore it, or choose another --logdir.") from error
    names = {"fingerprint": "the records", "held_out": "--held-out", "split_seed": "--split-seed", "batch": "batch"}
    differing = [
        f"{name}: {before[key]} -> {now[key]}" for key, name in names.items() if before.get(key) != now.get(key)
    ]
    if differing:
        listed = "\n  ".join(differing)
        raise UserError(
            f"{folder} contains a comparison on other data (stored -> given):\n  {listed}\n"
            "Use the stored values to continue it, or choose another --logdir."
        )
    write_text(path, json.dumps(about, indent=1) + "\n")


def finish(folder: Path) -> None:
    """Write the report of a comparison that has been run, and print its path.

    Raises UserError with the failed runs, if any, at the end.
    """
    jobs = read_jobs(folder)
    failed = [job for job in jobs if job["status"] == "failed"]
    if len(failed) < len(jobs):
        write_world_model_report(folder, folder)
        count = len(jobs) - len(failed)
        print(f"Report on {count} world model{'s' * (count != 1)}: {folder / 'report.html'}", flush=True)
    else:
        print("There is no report, because every run failed.", flush=True)
    if failed:
        raise UserError(failure_text(folder, failed, len(jobs)))
    print(
        "Open it in a browser. To add versions, features, seeds or updates, rerun the command with the longer lists.",
        flush=True,
    )
