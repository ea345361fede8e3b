"""`python deploy/sbom_image.py IMAGE FILE`: what an image is made of, as CycloneDX: its Debian and Python packages.

Each is found by the image's own tools, so that what the file names is what the image holds.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

PYTHON_PACKAGES = """
from importlib.metadata import distributions
for one in distributions():
    print(one.metadata["Name"].lower().replace("_", "-"), one.version, sep="\\t")
"""
DEBIAN_PACKAGES = ("dpkg-query", "--show", "--showformat", "${Package}\\t${Version}\\t${Architecture}\\n")


def main(image: str, file: Path) -> None:
    """Write what an image holds into a file."""
    components = [*python_packages(image), *debian_packages(image)]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": image, "version": image_id(image)}},
        "components": sorted(components, key=lambda component: component["purl"]),
    }
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def python_packages(image: str) -> Iterator[dict[str, str]]:
    """The Python packages of its environment."""
    for name, version in lines(image, "python", "-c", PYTHON_PACKAGES):
        yield component(name, version, f"pkg:pypi/{name}@{quote(version)}")


def debian_packages(image: str) -> Iterator[dict[str, str]]:
    """The packages of its operating system."""
    for name, version, architecture in lines(image, *DEBIAN_PACKAGES):
        yield component(name, version, f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}")


def component(name: str, version: str, purl: str) -> dict[str, str]:
    """A package as CycloneDX writes it."""
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def image_id(image: str) -> str:
    """The sha256 of an image's configuration."""
    return printed("docker", "image", "inspect", "--format", "{{.Id}}", image).strip()


def lines(image: str, program: str, *arguments: str) -> list[list[str]]:
    """What a program of the image prints, line by line, cut at tabs."""
    said = printed("docker", "run", "--rm", "--network", "none", "--entrypoint", program, image, *arguments)
    return [line.split("\t") for line in said.splitlines()]


def printed(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  the Makefile's


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
