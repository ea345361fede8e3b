"""Every study as the command line, the API and the page list it."""

from bioseg import studies
from bioseg.registry import Registry
from bioseg.registry.standing import Aliases

TOLD_OF_DATASETS = ("name", "title", "citation", "licence", "source")


def describe_studies(registry: Registry, aliases: Aliases) -> list[dict[str, object]]:
    """Every study with its versions and aliases, as `bioseg studies --json` prints it."""
    standings = {name: aliases(name) for name in studies.all_studies()}
    return [
        {
            "name": study.name,
            "title": study.title,
            "task": study.task,
            "classes": list(study.classes),
            "versions": list(registry.versions(study.name)),
            "champion": standings[study.name].champion,
            "challenger": standings[study.name].challenger,
            "screened_by": study.screened_by,
            "accepts": list(study.accepts),
            "notice": study.notice,
            "known_failures": list(study.known_failures),
            "datasets": [{name: getattr(each, name) for name in TOLD_OF_DATASETS} for each in study.datasets],
        }
        for study in studies.all_studies().values()
    ]
