"""The published network is replaced by a tiny one where its weights do not matter."""

import archive_samples
import pytest


@pytest.fixture
def tiny_network(monkeypatch):
    monkeypatch.setattr("grokscope.archive.networks.resnet18", archive_samples.tiny_network)
