"""Keys and tokens: refused when they will not do, made once, and kept so that a copy of the database tells nothing."""

import hashlib
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from bioseg import credentials
from bioseg.database import secrets
from bioseg.database.engine import connect, migrate, reading
from bioseg.database.seal import Seal
from bioseg.database.tables import Secret
from bioseg.errors import SettingsError
from bioseg.settings import Settings

OLD = "0123456789abcdef" * 4
LONG = "a key of more than sixteen characters"
POSTGRES = "postgresql://host/bioseg"


def settings(folder: Path, **given: object) -> Settings:
    return Settings.model_validate({"state_dir": folder} | given)


@pytest.fixture
def sessions(database_url: str) -> Iterator[sessionmaker[Session]]:
    """A database of each kind."""
    migrate(database_url)
    engine = connect(database_url)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    return Seal(tmp_path / "seal.key")


@pytest.fixture
def local(tmp_path: Path) -> Iterator[sessionmaker[Session]]:
    """The SQLite database of an installation in the folder of the test."""
    url = settings(tmp_path).resolved_database_url
    migrate(url)
    engine = connect(url)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


def stored(sessions: sessionmaker[Session], name: str) -> str:
    with reading(sessions) as session:
        return session.get_one(Secret, name).value


class TestSecretInTheDatabase:
    def test_is_the_same_for_all_who_ask_at_once(self, sessions: sessionmaker[Session], seal: Seal) -> None:
        def ask(_: int) -> str:
            with sessions.begin() as session:
                return secrets.get_or_create(session, "cookie", seal)

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(ask, range(8)))) == 1

    def test_has_256_random_bits(self, sessions: sessionmaker[Session], seal: Seal) -> None:
        with sessions.begin() as session:
            made = (bytes.fromhex(secrets.get_or_create(session, name, seal)) for name in ("cookie", "other"))
            first, second = made
        assert (len(first), first != second) == (32, True)

    def test_is_nowhere_in_a_copy_of_the_database(self, local: sessionmaker[Session], tmp_path: Path) -> None:
        key = credentials.cookie_key(settings(tmp_path), local)
        files = [file for file in tmp_path.iterdir() if file.name.startswith("bioseg.db")]
        assert [file.name for file in files if key.encode() in file.read_bytes()] == []

    def test_of_an_earlier_version_stays_and_is_sealed(self, sessions: sessionmaker[Session], seal: Seal) -> None:
        with sessions.begin() as session:
            session.add(Secret(name="cookie", value=OLD))
        found = []
        for _ in range(2):
            with sessions.begin() as session:
                found.append(secrets.get_or_create(session, "cookie", seal))
        assert (found, OLD in stored(sessions, "cookie")) == ([OLD, OLD], False)

    @pytest.mark.parametrize("lost", [True, False], ids=["no key file", "another key file"])
    def test_cannot_be_opened_without_its_key_file(
        self, local: sessionmaker[Session], tmp_path: Path, lost: bool
    ) -> None:
        credentials.cookie_key(settings(tmp_path), local)
        (tmp_path / "seal.key").unlink()
        if not lost:
            Seal(tmp_path / "seal.key").close("")
        with pytest.raises(SettingsError, match=r"restore that file .* or set BIOSEG_SECRET_KEY"):
            credentials.cookie_key(settings(tmp_path), local)
        assert lost is not (tmp_path / "seal.key").exists()


class TestKeyFile:
    def test_is_for_its_owner_only(self, seal: Seal) -> None:
        seal.close("x")
        assert stat.S_IMODE(seal.file.stat().st_mode) == 0o600

    def test_is_one_for_all_processes_that_start_at_once(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from bioseg.database.seal import Seal; "
            "input(); print(Seal(Path(sys.argv[1])).close('x'))"
        )
        file = tmp_path / "new folder" / "seal.key"
        command = [sys.executable, "-c", code, str(file)]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
        ]
        for child in children:
            assert child.stdin
            child.stdin.write("\n")
            child.stdin.flush()
        sealed = [child.communicate(timeout=60)[0].strip() for child in children]
        assert [Seal(file).open(each) for each in sealed] == ["x"] * 4
        assert [each.name for each in file.parent.iterdir()] == ["seal.key"]

    def test_is_not_made_where_the_key_is_a_setting(self, local: sessionmaker[Session], tmp_path: Path) -> None:
        assert credentials.cookie_key(settings(tmp_path, secret_key=LONG), local) == LONG
        assert not (tmp_path / "seal.key").exists()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"secret_key": "hunter2"}, "BIOSEG_SECRET_KEY has 7 characters and needs 16"),
        ({"secret_key": "x" * 15}, "BIOSEG_SECRET_KEY has 15 characters"),
        ({"database_url": POSTGRES}, "BIOSEG_SECRET_KEY is empty"),
        ({"api_token": "zwölf boote"}, "BIOSEG_API_TOKEN: a header cannot carry it"),
        ({"operator_token": "two words"}, "BIOSEG_OPERATOR_TOKEN: a header cannot carry it"),
        ({"operator_token": LONG[::3], "api_token": LONG[::3]}, "BIOSEG_OPERATOR_TOKEN"),
        ({"rate_limit": "often"}, "BIOSEG_RATE_LIMIT: 'often' is no limit"),
        ({"rate_limit": "600/fortnight"}, "BIOSEG_RATE_LIMIT: '600/fortnight' is no limit"),
    ],
)
def test_settings_that_will_not_do_are_refused_without_showing_a_secret(
    tmp_path: Path, given: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=named) as refusal:
        credentials.check(settings(tmp_path, **given))
    secret = [value for name, value in given.items() if name not in {"rate_limit", "database_url"}]
    assert [value for value in secret if value in str(refusal.value)] == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"secret_key": "x" * 16, "database_url": POSTGRES},
        {"operator_token": "short", "api_token": "other"},
        {"rate_limit": "600/minute"},
        {"rate_limit": "10 per second; 1000/hour"},
    ],
)
def test_settings_that_will_do_are_accepted(tmp_path: Path, given: dict[str, str]) -> None:
    assert credentials.check(settings(tmp_path, **given)) is None


class TestOperators:
    def test_token_is_made_once_and_only_its_hash_is_kept(self, local: sessionmaker[Session], tmp_path: Path) -> None:
        token, again = (credentials.appoint_operator(settings(tmp_path), local) for _ in range(2))
        assert token is not None
        assert (again, stored(local, "operator")) == (None, hashlib.sha256(token.encode()).hexdigest())

    def test_token_is_known_at_the_next_start(self, local: sessionmaker[Session], tmp_path: Path) -> None:
        token = credentials.appoint_operator(settings(tmp_path), local)
        assert token is not None
        assert credentials.operator_digest(settings(tmp_path), local) == credentials.digest(token)

    def test_token_that_is_set_replaces_the_one_that_was_made(
        self, local: sessionmaker[Session], tmp_path: Path
    ) -> None:
        credentials.appoint_operator(settings(tmp_path), local)
        chosen = settings(tmp_path, operator_token="chosen")
        assert credentials.operator_digest(chosen, local) == credentials.digest("chosen")

    def test_are_none_in_another_database_until_a_token_is_set(
        self, local: sessionmaker[Session], tmp_path: Path
    ) -> None:
        elsewhere = settings(tmp_path, database_url=POSTGRES)
        assert credentials.appoint_operator(elsewhere, local) is None
        assert credentials.operator_digest(elsewhere, local) is None


class TestServe:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("DATABASE_URL", "postgresql://127.0.0.1:1/none"), ("SECRET_KEY", "hunter2"), ("RATE_LIMIT", "often")],
    )
    def test_refuses_in_one_line_before_it_starts_anything(
        self, bioseg: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        monkeypatch.setenv(f"BIOSEG_{name}", value)
        code, out, err = bioseg("serve")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "hunter2" not in err
        assert "BIOSEG_RATE_LIMIT" in err or "BIOSEG_SECRET_KEY" in err


class TestDoctor:
    @pytest.mark.parametrize(
        ("name", "value", "found"),
        [
            ("SECRET_KEY", "hunter2", "BIOSEG_SECRET_KEY has 7 characters"),
            ("OPERATOR_TOKEN", "hunter2", "short enough to be guessed: BIOSEG_OPERATOR_TOKEN"),
            ("API_TOKEN", "hunter2", "short enough to be guessed: BIOSEG_API_TOKEN"),
            ("RATE_LIMIT", "often", "BIOSEG_RATE_LIMIT: 'often'"),
        ],
    )
    def test_finds_what_will_not_do(
        self,
        bioseg: Callable[..., tuple[int, str, str]],
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        value: str,
        found: str,
    ) -> None:
        monkeypatch.setenv(f"BIOSEG_{name}", value)
        code, out, err = bioseg("doctor")
        assert (code, f"FAIL keys: {found}" in out) == (1, True)
        assert "hunter2" not in out + err

    def test_tells_whether_there_are_operators(
        self, bioseg: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "operators: none until BIOSEG_OPERATOR_TOKEN is set" in bioseg("doctor")[1]
        monkeypatch.setenv("BIOSEG_OPERATOR_TOKEN", LONG.replace(" ", "-"))
        assert "operators: BIOSEG_OPERATOR_TOKEN is their token" in bioseg("doctor")[1]
