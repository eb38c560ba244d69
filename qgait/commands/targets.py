"""``qgait targets``: what ``qgait compile --target`` takes."""

from __future__ import annotations

import click

from qgait.commands.output import table


@click.command()
def targets() -> None:
    """List the processors that qgait compiles for."""
    from qgait.runtime.targets import all_targets

    rows = [(t.name, t.description, t.isa) for t in all_targets()]
    table("Targets", ("name", "processor", "convolution kernels"), rows)
