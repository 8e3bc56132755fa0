"""A settings file, and the error that it gives."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from lading.adapters.config.settings import Settings, load_settings, read_settings
from lading.adapters.handlers.built_in import BUILT_IN as NAMES
from lading.adapters.handlers.built_in import settings_type
from lading.ports.failures import SettingsError


def built_in(settings: Settings) -> Mapping[str, object]:
    """What the built-in handlers read in their tables."""
    return {name: asdict(settings.handlers.tables[name].read(settings_type(name))) for name in NAMES}


def write(path: Path, text: str = '[catalog]\nkind = "memory"\n') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def error(document: Mapping[str, object], **environ: str) -> str:
    with pytest.raises(SettingsError) as raised:
        read_settings(document, environ)
    return str(raised.value)


def load_error(path: Path | str | None, **environ: str) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings(None if path is None else str(path), environ)
    return str(raised.value)


def settings_of(document: Mapping[str, object], **environ: str) -> Settings:
    return read_settings(document, {"HOME": "/home/me", **environ})
