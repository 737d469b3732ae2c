"""Run the benchmarks that this machine can run."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
from rich.console import Console

from benchmarks.table import Row, Settings, environment, print_table, write_json

# Each has a tuple BENCHMARKS of functions from Settings to rows.
MODULES = ("benchmarks.histogram", "benchmarks.exclusion")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, help="Run benchmarks whose name contains this; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(__file__).parent / "results", show_default=True)
@click.option("--events", type=click.IntRange(1), help="Number of events instead of what each goal names.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
def main(only: tuple[str, ...], out: Path, events: int | None, repeats: int) -> None:
    """Print the table and write it, with versions and device, to a JSON file."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a file or a log wraps nothing
    settings, rows = Settings(events, repeats), list[Row]()
    for module in MODULES:
        for benchmark in import_module(module).BENCHMARKS:
            name = f"{module.removeprefix('benchmarks.')}.{benchmark.__name__}"
            if only and not any(part in name for part in only):
                continue
            console.print(f"{name} ...")
            rows += benchmark(settings)
    print_table(rows, console)
    console.print(f"written to {write_json(rows, settings, environment(), out)}")


if __name__ == "__main__":
    main()
