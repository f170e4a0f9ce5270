"""Addresses of buckets in specs."""

import re

import pytest

from workflows.spec.bucket import below, checked_bucket


@pytest.mark.parametrize(
    ("address", "read"),
    [
        ("s3://team", "s3://team"),
        ("s3://team/cosa/", "s3://team/cosa"),
        ("s3://team.of-10/a/b?region=eu-west-1", "s3://team.of-10/a/b?region=eu-west-1"),
        ("s3://team/a?endpoint_override=10.0.0.5:9000&scheme=http", "s3://team/a?endpoint_override=10.0.0.5:9000&scheme=http"),
    ],
)
def test_addresses(address: str, read: str) -> None:
    assert checked_bucket(address) == read


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://key:abc@team/a", "credentials do not belong in a spec"),
        ("s3://key@team/a", "credentials do not belong in a spec"),
        ("s3://team/a?access_key=abc", "credentials do not belong in a spec"),
        ("s3://team/a?Secret_Key=abc", "credentials do not belong in a spec"),
        ("s3://team/a?session_token=abc", "credentials do not belong in a spec"),
        ("gs://team/a", "is not the address of a bucket"),
        ("s3:///a", "is not the address of a bucket"),
        ("s3://Team/a", "is not the address of a bucket"),
        ("team/a", "is not the address of a bucket"),
        (
            "s3://team/a?endpoint=x",
            "unknown option 'endpoint' after the question mark; known: endpoint_override, scheme, region",
        ),
        ("s3://team/a?scheme=ftp", "scheme 'ftp' is not supported; expected http or https"),
    ],
)
def test_what_is_refused(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        checked_bucket(address)
    assert "abc" not in str(refused.value)


def test_names_go_before_the_options() -> None:
    assert below("s3://team?region=eu-west-1", "a-1") == "s3://team/a-1?region=eu-west-1"
    assert below("s3://team/cosa", "a-1") == "s3://team/cosa/a-1"
