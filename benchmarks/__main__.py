"""Run the benchmarks that this machine can run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import click
from rich.console import Console

from benchmarks.table import Row, Settings, environment, missing, print_table, write_json

# Functions from Settings to rows, in this order. Those of a GPU come first, whose time is dear.
BENCHMARKS = (
    "histogram_gpu.kernel",
    "histogram_gpu.peers",
    "sampling.sampling",
    "profile_gpu.profile",
    "throughput.throughput_gpu",
    "pipeline.plain_files",
    "regression.fit_on_gpu",
    # Before those that delete files: for a minute after, some file systems take ten times as long to make new ones.
    "pipeline.real_files",
    "histogram.cpu",
    "histogram.at_edges",
    "histogram.portable_memory",
    "throughput.throughput_cpu",
    "sampling.sampling_cpu",
    "pipeline.memory",
    "pipeline.cost",
    "exclusion.observations",
    "regression.fit",
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, help="Run benchmarks whose name contains this; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(__file__).parent / "results", show_default=True)
@click.option("--events", type=click.IntRange(1), help="Number of events instead of what each goal names.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--page", is_flag=True, help="Run nothing; write docs/benchmarks.md and its plot from the newest results."
)
def main(only: tuple[str, ...], out: Path, events: int | None, repeats: int, page: bool) -> None:
    """Print the table and write it, with versions and device, to a JSON file."""
    if page:
        import_module("benchmarks.page").write_page(out, Path(__file__).parents[1] / "docs")
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a file or a log wraps nothing
    settings, rows, where = Settings(events, repeats, only), list[Row](), environment()
    failed = False
    for name, benchmark in _chosen(only):
        console.print(f"{name} ...")
        try:
            rows += benchmark(settings)
        except Exception:  # the others can still run; most are far apart from each other
            console.print_exception()
            rows.append(missing(name, "all peers", why="the benchmark failed"))
            failed = True
        # After each one, so that a run that is stopped keeps what it has measured.
        path = write_json(rows, settings, where, out)
    print_table(rows, console)
    if rows:
        console.print(f"written to {path}")
    raise SystemExit(failed)


def _chosen(only: tuple[str, ...]) -> Iterator[tuple[str, Callable[[Settings], list[Row]]]]:
    for name in BENCHMARKS:
        if not only or any(part in name for part in only):
            module, _, function = name.partition(".")
            yield name, getattr(import_module(f"benchmarks.{module}"), function)


if __name__ == "__main__":
    main()
