import pytest

from tests.golden.golden import ENCODERS, Encoder


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return request.param
