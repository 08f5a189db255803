import os
import uuid

import pytest

import edgehold


@pytest.fixture(scope="session")
def far() -> str:
    return os.environ["EDGEHOLD_FAR"]


@pytest.fixture(scope="session")
def home() -> str:
    return os.environ["EDGEHOLD_HOME"]


@pytest.fixture(scope="session")
def prefix() -> str:
    return f"python/{uuid.uuid4()}/"


@pytest.fixture(scope="session")
def db(home):
    with edgehold.connect(home) as client:
        yield client
