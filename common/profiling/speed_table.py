"""The tables that `speed` prints."""

from collections.abc import Sequence

PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))


def render(found: dict) -> str:
    """Result of `speed` as text."""
    blocks = [head(found), parameters(found), counts(found), rates(found), split(found), acting(found)]
    return "\n\n".join(blocks)


def head(found: dict) -> str:
    observed = ", ".join(f"{key} {kind} {tuple(shape)}" for key, (kind, shape) in found["observations"].items())
    batch, length = found["batch"]
    return listing([
        ("agent", f"{found['algo']}, task {found['task']}, {found['environments']} environment(s)"),
        ("spaces", f"{observed} -> {found['actions']}"),
        ("batch", f"{batch} x {length} replayed steps, horizon {found['horizon']}"),
        ("machine", f"{found['where']}, {found['precision']} on {found['device']}, "
                    f"{'compiled' if found['compiled'] else 'not compiled'}"),
        ("threads", found["threads_chosen"] or "as set, or all there are"),
    ])  # fmt: skip


def parameters(found: dict) -> str:
    sizes = found["parameters"]
    return table([("module", "parameters"), *((n, f"{c:,}") for n, c in sizes.items()), total(sum(sizes.values()))])


def total(size: int) -> tuple[str, str]:
    return "all", f"{size:,}"


def counts(found: dict) -> str:
    """FLOPs of every pass of an update."""
    rows: list[tuple] = [("one update", "", "FLOP forward", "of weights", "of inputs", "share", "")]
    flops = found["cost"]["flops"]
    for p in found["cost"]["passes"]:
        numbers = (si(p[key]) for key in ("forward", "weight_grads", "input_grads"))
        rows.append((p["part"], p["name"], *numbers, percent(p["flops"], flops), p["note"]))
    sums = (si(sum(p[key] for p in found["cost"]["passes"])) for key in ("forward", "weight_grads", "input_grads"))
    whole = f"{si(flops)}FLOP, at least {si(found['cost']['bytes'])}B read and written"
    return table([*rows, ("all", "", *sums, percent(1, 1), whole)])


def rates(found: dict) -> str:
    """How fast updates are, beside what the machine allows."""
    timed, here, drawn = found["updates"], found["machine"], found["sampling"]
    compare = lambda done, most, unit: f"{si(done)}{unit}/s of {si(most)}{unit}/s = {percent(done, most)}"
    sampled = drawn["bytes"] / drawn["seconds"]
    return listing([
        ("updates/s", f"{timed['per_second']:.4g} ({timed['median'] * 1e3:.4g} ms, median of {len(timed['seconds'])}; "
                      f"the first took {timed['first']:.3g} s)"),
        ("replayed steps/s", f"{timed['replayed_per_second']:.4g}"),
        ("matrix products", compare(here["flops_per_second"], here["matmul_flops_per_second"], "FLOP")),
        ("memory traffic", compare(here["bytes_per_second"], here["copy_bytes_per_second"], "B")),
        ("replay sampling", f"{drawn['seconds'] * 1e3:.3g} ms, {si(sampled)}B/s"),
        ("peak memory", f"{found['peak_memory'] / 2**30:.2f} GiB on {found['device']}, with "
                        f"{found['replay_bytes'] / 2**30:.2f} GiB in the replay"),
    ])  # fmt: skip


def split(found: dict) -> str:
    """Where the time of training goes, all that belongs to one update done one after the other."""
    parts = found["split"]
    whole = sum(parts.values())
    rows = [(name, f"{seconds * 1e3:.4g}", percent(seconds, whole)) for name, seconds in parts.items()]
    return table([("time per update", "ms", "share"), *rows, ("all", f"{whole * 1e3:.4g}", percent(1, 1))])


def acting(found: dict) -> str:
    rows = [(n, *(f"{t[key] * 1e3:.3g}" for key in ("median", "p90"))) for n, t in found["acting"].items()]
    return table([("acting: environments", "ms (median)", "ms (90 %)"), *rows])


def si(value: float) -> str:
    """Four digits and a prefix: 30.45 G."""
    scale, prefix = next((pair for pair in PREFIXES if value >= pair[0]), (1, ""))
    return f"{value / scale:.4g} {prefix}"


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def table(rows: Sequence[tuple]) -> str:
    """Rows of texts in columns, the first one the head; columns of numbers are flush right."""
    columns = []
    for head, *body in zip(*rows, strict=True):
        width, numbers = max(map(len, (head, *body))), all(text[:1].isdigit() for text in body)
        columns.append([text.rjust(width) if numbers else text.ljust(width) for text in (head, *body)])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def listing(rows: Sequence[tuple[str, str]]) -> str:
    """Names and texts in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)
