"""The option ``--model``, whose help names every backbone."""

from __future__ import annotations

import click


class BackboneOption(click.Option):
    """Puts the backbones' names where its help says ``{names}``; torch is imported only when help is asked for."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """See click."""
        from qgait.models.registry import BACKBONES

        record = super().get_help_record(ctx)
        return record and (record[0], record[1].format(names=", ".join(BACKBONES)))
