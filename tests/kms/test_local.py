from __future__ import annotations

import pytest

from strongroom.kms.local import LocalProvider
from tests.kms.provider_suite import ProviderSuite


class TestLocal(ProviderSuite):
    @pytest.fixture
    def provider(self):
        return LocalProvider(bytes(range(32)))

    @pytest.fixture
    def another(self):
        return LocalProvider(bytes(32))

    @pytest.mark.parametrize("size", [0, 16, 31, 33])
    def test_its_key_has_32_bytes(self, size):
        with pytest.raises(ValueError):
            LocalProvider(bytes(size))
