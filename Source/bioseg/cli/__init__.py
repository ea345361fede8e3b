"""The command line. Exit codes: 0 success, 1 failure with one line of reason, 2 wrong use."""

import logging
import sys
from typing import NoReturn

import click
from sqlalchemy.exc import DBAPIError

from bioseg.cli import data, gate, images, models, registry, serving
from bioseg.errors import (
    BiosegError,
    InvalidInput,
    SettingsError,
    UnknownDecision,
    UnknownStudy,
    UnknownVersion,
    WrongTask,
)

CHATTY = {"alembic": logging.WARNING, "tifffile": logging.CRITICAL}
"""Libraries that say more than a user wants: migrations that went well, and every odd tag of a damaged TIFF."""

WRONG_USE = (InvalidInput, SettingsError, UnknownDecision, UnknownStudy, UnknownVersion, WrongTask)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="bioseg")
def cli() -> None:
    """Screen, segment and classify biomedical images, with evidence for every model that serves them."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty, level in CHATTY.items():
        logging.getLogger(chatty).setLevel(level)


COMMANDS = (
    *serving.COMMANDS,
    *data.COMMANDS,
    *models.COMMANDS,
    *gate.COMMANDS,
    *registry.COMMANDS,
    *images.COMMANDS,
)
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit."""
    try:
        cli(prog_name="bioseg")
    except BiosegError as error:
        _fail(str(error), 2 if isinstance(error, WRONG_USE) else 1)
    except DBAPIError as error:
        _fail(f"the database does not answer: {error.orig}; check BIOSEG_DATABASE_URL and BIOSEG_STATE_DIR", 1)
    except ModuleNotFoundError as error:
        if str(error.name).startswith(("bioseg", "application")):
            raise
        _fail(
            f"{error.name} is not installed; pip install 'bioseg[serve,train,bench]' brings what every command needs", 1
        )
    except OSError as error:
        _fail(str(error), 1)


def _fail(reason: str, code: int) -> NoReturn:
    """Say the reason in one line, whatever the library that gave it thinks of lines, and exit."""
    click.echo(f"bioseg: {' '.join(reason.split())}", err=True)
    sys.exit(code)
