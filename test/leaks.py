"""Secrets in the files, in any earlier version of them and in any commit message, but for those in `.secrets.baseline`.

Run by `make leaks`; exit code 1 when something is found.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from detect_secrets.core import baseline
from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.core.secrets_collection import SecretsCollection

ROOT = Path(__file__).parents[1]
BASELINE = ROOT / ".secrets.baseline"


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def files() -> list[str]:
    """Paths of the files that are or may become part of the repository."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0")
    return [path for path in listed if (ROOT / path).is_file()]


def versions() -> Iterator[tuple[str, ...]]:
    """Object and path of every version of every file that some commit holds."""
    listed = git("rev-list", "--objects", "--all", "--filter=object:type=blob", "--filter-provided-objects").decode()
    return (tuple(line.split(" ", 1)) for line in listed.splitlines())


def lay_out(folder: Path) -> list[str]:
    """Write each version to `folder`/<object>/<path> and the commit messages beside them; their paths in `folder`."""
    messages = folder / "commit-messages.txt"
    messages.write_bytes(git("log", "--all", "--format=%h %an %ae%n%B"))
    laid = [messages]
    for name, path in versions():
        file = folder / name[:12] / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(git("cat-file", "blob", name))
        laid.append(file)
    return [str(file.relative_to(folder)) for file in laid]


def search(folder: Path, paths: list[str]) -> list[tuple[str, PotentialSecret]]:
    """What looks like a secret in these files of `folder`."""
    found = SecretsCollection(str(folder))
    found.scan_files(*paths, num_processors=2)
    return list(found)


def main() -> int:
    known = baseline.load(json.loads(BASELINE.read_text(encoding="utf-8")), str(BASELINE))
    audited = {secret.secret_hash for _, secret in known}
    now = files()
    with tempfile.TemporaryDirectory() as folder:
        past = lay_out(Path(folder))
        found = search(ROOT, now) + search(Path(folder), past)
    new = [f"{path}:{secret.line_number}: {secret.type}" for path, secret in found if secret.secret_hash not in audited]
    summary = f"{len(now)} files, {len(past) - 1} versions, all commit messages: {len(new)} possible secrets"
    sys.stdout.write("\n".join([*new, summary, ""]))
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
