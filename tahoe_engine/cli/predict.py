"""``tahoe predict``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.output import count, duration, print_facts, print_json
from tahoe_engine.cli.progress import show_progress
from tahoe_engine.cli.train import make_models_settings
from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from tahoe_engine.config import Settings

On = Annotated[
    str | None,
    typer.Option(help="A table (Parquet, CSV, a folder, or `cells` of the run) in place of the rows of the features."),
]
Obs = Annotated[str | None, typer.Option(help="Tahoe's obs_metadata (Parquet), for recipes that join it.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("predict", epilog="Example: tahoe predict --into demo/run --task biospark-m3")(predict)


@options.with_settings_from(make_models_settings)
def predict(
    into: options.Into,
    *,
    settings: Settings,
    on: On = None,
    obs: Obs = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Predict with ids: the rows of the features again, compared bit for bit, or the rows of another table."""
    from tahoe_engine.models import predict_rows

    with show_progress(quiet=quiet, every=settings.run.progress_s) as show:
        report = predict_rows(into, settings=settings, on=on, obs=obs or "", on_progress=show)
    told = report.describe()
    if json:
        print_json(told)
        return 0
    print_facts(
        [
            ("models", escape_controls(told["name"])),
            ("rows", count(told["rows"])),
            *((name, count(told[name])) for name in ("equal", "restored") if told.get(name) is not None),
            *((f"note {at}", escape_controls(note)) for at, note in enumerate(told.get("notes", ()), 1)),
            ("time", duration(report.seconds)),
            ("tables", escape_controls(told["tables"])),
        ]
    )
    return 0
