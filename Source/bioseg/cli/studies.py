"""The command that lists the studies; it loads little, so that looking is quick."""

import json

import click

from bioseg import settings as configuration
from bioseg.listing import describe_studies
from bioseg.registry.opening import open_registry, standings


@click.command("studies")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def list_studies(*, as_json: bool) -> None:
    """List the studies with their versions and what screens them."""
    settings = configuration.load()
    registry = open_registry(settings)
    described = describe_studies(registry, standings(settings, registry))
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for study in described:
        screen = f", screened by {study['screened_by']}" if study["screened_by"] else ""
        click.echo(f"{study['name']}: {study['title']} ({study['task']}{screen}); champion {study['champion']}")


COMMANDS = (list_studies,)
