import shutil
from collections import namedtuple

import pytest
import torch

from cosa.errors import UserError
from cosa.evaluation.feature_store import FeatureStore


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_what_was_added_is_found_again(kind: torch.dtype) -> None:
    parts = [torch.randn(count, 2, 3, 5).to(kind) for count in (3, 1, 4)]
    with FeatureStore(8) as store:
        for part in parts:
            store.add(part)
        assert len(store) == 8
        assert store.tokens_of_one == 6
        wanted = [7, 0, 0, 3]
        assert torch.equal(store.select(wanted), torch.cat(parts)[wanted])
        store.add(torch.zeros(1, 2, 3, 5, dtype=kind))
        assert torch.equal(store.select([8, 2]), torch.stack([torch.zeros(2, 3, 5, dtype=kind), parts[0][2]]))


def test_a_full_disk_is_reported_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", ["free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9))
    with (
        FeatureStore(10**6) as store,
        pytest.raises(UserError, match=r"of 1000000 videos take 12.0 GB, and .* has 1.0 GB left"),
    ):
        store.add(torch.zeros(1, 3, 1000))
