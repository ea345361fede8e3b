"""The command line. Exit codes: 0 success, 1 failure with one line of reason, 2 wrong use."""

import importlib
import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

import click

from bioseg.errors import (
    BiosegError,
    InvalidInput,
    SettingsError,
    UnknownDecision,
    UnknownStudy,
    UnknownVersion,
    WrongTask,
)

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

CHATTY = {"alembic": logging.WARNING, "tifffile": logging.CRITICAL}
"""Libraries that say more than a user wants: migrations that went well, and every odd tag of a damaged TIFF."""

WRONG_USE = (InvalidInput, SettingsError, UnknownDecision, UnknownStudy, UnknownVersion, WrongTask)


MODULES = ("serving", "data", "studies", "models", "gate", "registry", "images")
QUICK = {"studies": ("studies",)}
"""Modules of commands, and which of them a command needs that should not wait for all."""


class Commands(click.Group):
    """Commands that are loaded when one is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command."""
        self._load(MODULES)
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Look a command up."""
        self._load(QUICK.get(cmd_name, MODULES))
        return super().get_command(ctx, cmd_name)

    def _load(self, modules: Iterable[str]) -> None:
        for name in modules:
            for command in importlib.import_module(f"{__name__}.{name}").COMMANDS:
                self.add_command(command)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="bioseg")
def cli() -> None:
    """Screen, segment and classify biomedical images, with evidence for every model that serves them."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty, level in CHATTY.items():
        logging.getLogger(chatty).setLevel(level)


def main() -> None:
    """Run the command line and exit."""
    try:
        cli(prog_name="bioseg")
    except BiosegError as error:
        _fail(str(error), 2 if isinstance(error, WRONG_USE) else 1)
    except _of_a_database() as error:
        _fail(f"the database does not answer: {error.orig}; check BIOSEG_DATABASE_URL and BIOSEG_STATE_DIR", 1)
    except ModuleNotFoundError as error:
        if str(error.name).startswith(("bioseg", "application")):
            raise
        _fail(
            f"{error.name} is not installed; pip install 'bioseg[serve,train,bench]' brings what every command needs", 1
        )
    except OSError as error:
        _fail(str(error), 1)


def _of_a_database() -> "tuple[type[DBAPIError], ...]":
    """The error of a database that does not answer; nothing raises it before SQLAlchemy is loaded."""
    loaded = sys.modules.get("sqlalchemy.exc")
    return (loaded.DBAPIError,) if loaded else ()


def _fail(reason: str, code: int) -> NoReturn:
    """Say the reason in one line, whatever the library that gave it thinks of lines, and exit."""
    click.echo(f"bioseg: {' '.join(reason.split())}", err=True)
    sys.exit(code)
