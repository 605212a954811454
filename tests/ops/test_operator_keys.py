"""The operator's SSH key: their own, or one made once."""

from pathlib import Path

import pytest

from openvps.accounts.ssh_keys.public_key import parse
from openvps.core.settings import Settings
from openvps.ops import operator_keys


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("OPENVPS_DATA_DIR", str(tmp_path))
    return Settings()


def test_who_has_keys_gets_those(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAA me@home\n")
    assert operator_keys.public_keys(settings) == {"id_ed25519": "ssh-ed25519 AAAA me@home"}
    assert operator_keys.private_key(settings) is None


def test_who_has_none_gets_one_made_once(settings: Settings) -> None:
    first = operator_keys.public_keys(settings)
    assert parse(first["operator"]).line == first["operator"]
    assert operator_keys.public_keys(settings) == first
    private = operator_keys.private_key(settings)
    assert private is not None
    assert private.stat().st_mode & 0o777 == 0o600


def test_a_start_interrupted_while_making_it_is_made_good(settings: Settings) -> None:
    (settings.data_dir / "operator-key.new").write_text("half")
    assert operator_keys.public_keys(settings)["operator"].startswith("ssh-ed25519 ")
