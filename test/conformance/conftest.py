"""Which server is asked, and within which budgets. Without an address nothing here is collected."""

import os
from collections.abc import Callable, Iterator

import pytest
from golden import ANSWERS, upload
from server import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what tells servers apart."""
    group = parser.getgroup("conformance")
    group.addoption("--base-url", default=os.environ.get("BIOSEG_URL"), help="address of the server [BIOSEG_URL]")
    group.addoption("--api-token", default=os.environ.get("BIOSEG_API_TOKEN", ""), help="[BIOSEG_API_TOKEN]")
    group.addoption("--patience", type=float, default=60, help="seconds until the server has to be ready")
    group.addoption("--latency-ms", type=float, default=5000, help="budget of the median upload of 256x256 pixels")
    group.addoption(
        "--shipped-champions",
        action="store_true",
        help="fail, not skip, where versions answer that have no golden ones",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run against nothing."""
    if not config.getoption("base_url"):
        raise pytest.UsageError("name the server: --base-url http://127.0.0.1:8000, or BIOSEG_URL")


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """The server; what this session uploads is deleted at its end."""
    made = Server(pytestconfig.getoption("base_url").rstrip("/"), pytestconfig.getoption("api_token"))
    try:
        made.wait(pytestconfig.getoption("patience"))
    except TimeoutError as error:
        pytest.exit(str(error), returncode=1)
    yield made
    made.tidy()


@pytest.fixture(scope="session")
def only_shipped(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Call it with the versions that answered, by study: the golden answers say nothing of other ones."""
    tell = pytest.fail if pytestconfig.getoption("shipped_champions") else pytest.skip

    def check(**answered: str) -> None:
        golden = {study: ANSWERS["versions"][study] for study in answered}
        if golden != answered:
            tell(f"the golden answers are of {golden}, here answered {answered}")

    return check


@pytest.fixture(scope="session")
def section() -> bytes:
    """A drawn section of 256x256 pixels."""
    return upload("section.png")
