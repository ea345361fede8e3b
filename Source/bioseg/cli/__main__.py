"""Lets `python -m bioseg.cli` stand for `bioseg`."""

from bioseg.cli import main

main()
