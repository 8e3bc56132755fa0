"""Laws of the configuration: whatever is in the file and the environment, it ends in Settings or in one line."""

from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lading.adapters.config.settings import (
    FileCatalogSettings,
    LandingSettings,
    load_settings,
    read_settings,
)
from lading.adapters.config.table import Table
from lading.adapters.handlers.file import FileHandlerSettings
from lading.ports.failures import SettingsError

_Read = TypeVar("_Read")
SECTIONS = ("catalog", "associations", "handlers", "landing")
KEYS = ("kind", "folder", "path", "order", "file", "download", "nfs", "allowed_folders", "verify", "inspect")


@dataclass(frozen=True)
class OfEveryType:
    """A field of each type that a table may hold."""

    flag: bool = False
    whole: int = 0
    number: float = 0.0
    text: str = ""
    path: Path = Path("/")
    choice: Literal["a", "b"] = "a"
    maybe: int | None = None
    texts: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    wholes: tuple[int, ...] = ()
    choices: tuple[Literal["a", "b"], ...] = ()


def keys() -> SearchStrategy[str]:
    """Those that mean something, and any others."""
    return st.sampled_from((*SECTIONS, *KEYS)) | st.text(max_size=20)


def scalars() -> SearchStrategy[object]:
    texts = st.sampled_from(["file", "memory", "glance", "/x", "~", "~x/y", "true", "", "\0"]) | st.text(max_size=20)
    numbers = st.booleans() | st.integers() | st.floats()
    return texts | numbers | st.just(datetime(2026, 1, 1, tzinfo=UTC))


def values() -> SearchStrategy[object]:
    """What TOML can say, and what only a program can."""
    inner = st.recursive(
        scalars() | st.none(), lambda each: st.lists(each, max_size=3) | st.dictionaries(keys(), each, max_size=3)
    )
    return inner | st.lists(st.sampled_from(["file", "download", "/x", "x"]), max_size=3)


def tables() -> SearchStrategy[dict[str, object]]:
    return st.dictionaries(keys(), values(), max_size=4)


def paths() -> SearchStrategy[str]:
    return st.sampled_from(["/x", "x", "../x", "~/x", "a b"])


def good_documents() -> SearchStrategy[dict[str, object]]:
    """What an operator would write."""
    memory, third_party = st.just({"kind": "memory"}), tables().map(lambda table: {**table, "kind": "glance"})
    order = st.lists(st.sampled_from(["file", "download", "nfs", ""]), max_size=3)
    file = st.fixed_dictionaries({}, optional={"allowed_folders": st.lists(paths(), max_size=2)})
    return st.fixed_dictionaries(
        {},
        optional={
            "catalog": memory | third_party | st.fixed_dictionaries({}, optional={"folder": paths()}),
            "associations": memory | third_party | st.fixed_dictionaries({"kind": st.just("file"), "path": paths()}),
            "handlers": st.fixed_dictionaries({}, optional={"order": order, "file": file, "nfs": tables()}),
            "landing": st.dictionaries(st.sampled_from(["verify", "inspect"]), st.booleans()),
        },
    )


def documents() -> SearchStrategy[dict[str, object]]:
    """What an operator would write, also with a section spoilt, and anything else."""
    spoilt = st.builds(
        lambda document, section, table: {**document, section: table},
        good_documents(),
        st.sampled_from(SECTIONS),
        tables() | values(),
    )
    return good_documents() | spoilt | tables()


def names() -> SearchStrategy[str]:
    """Of variables: most that mean something, and some that are ours in name only."""
    parts = st.sampled_from([key.upper() for key in KEYS]) | st.text("AZ_-\udcff", max_size=4)
    some = st.lists(parts, min_size=1, max_size=3).map("__".join)
    return st.builds("LADING_{}__{}".format, st.sampled_from([section.upper() for section in SECTIONS]), some)


def texts() -> SearchStrategy[str]:
    """What an environment variable can hold: no NUL, and anything else, also what is no UTF-8."""
    said = ["true", "0", "7", "file", "/x,/y", '["/x", "/y"]', "[1, [2]]", "{ a = { b = 1 } }", "[", "~x"]
    return st.sampled_from(said) | st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=20)


def environs() -> SearchStrategy[dict[str, str]]:
    """With a home or without one, variables that fit, and at times any others."""
    homes = st.fixed_dictionaries({}, optional={"HOME": st.just("/home/me") | texts(), "XDG_DATA_HOME": texts()})
    good = st.fixed_dictionaries(
        {},
        optional={
            "LADING_CATALOG__KIND": st.sampled_from(["file", "memory", "glance"]),
            "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": st.sampled_from(["", "/x,y", '["x"]']),
            "LADING_HANDLERS__RBD__FILE": texts(),
            "LADING_LANDING__VERIFY": st.sampled_from(["true", "0"]),
        },
    )
    nothing: SearchStrategy[dict[str, str]] = st.just({})
    others = nothing | st.dictionaries(names() | st.text(max_size=5).map("LADING_{}".format), texts(), max_size=2)
    return st.builds(lambda *parts: {k: v for part in parts for k, v in part.items()}, homes, good, others)


def ended(read: Callable[[], _Read]) -> _Read | None:
    """What was read, or None after a printable line: any exception but SettingsError is a bug."""
    try:
        return read()
    except SettingsError as error:
        line = str(error)
    assert line.isprintable()
    assert len(line) < 1000
    return None


@given(documents(), environs())
@example({"handlers": {"order": {"a": "b"}}}, {"LADING_HANDLERS__ORDER__A__B": "x"})
def test_any_document_and_environment_give_settings_or_one_printable_line(
    document: dict[str, object], environ: dict[str, str]
) -> None:
    ended(lambda: read_settings(document, environ))


@given(documents(), environs())
def test_reading_leaves_the_document_as_it_was(document: dict[str, object], environ: dict[str, str]) -> None:
    before = repr(document)
    ended(lambda: read_settings(document, environ))
    assert repr(document) == before


@given(documents(), environs())
def test_settings_are_of_the_types_that_they_promise(document: dict[str, object], environ: dict[str, str]) -> None:
    settings = ended(lambda: read_settings(document, environ))
    if settings is not None:
        if isinstance(settings.catalog, FileCatalogSettings):
            assert settings.catalog.folder.is_absolute()
        assert isinstance(settings.catalog.kind, str)
        assert isinstance(settings.associations.kind, str)
        assert all(isinstance(name, str) for name in settings.handlers.order or ())
        assert {type(settings.landing.verify), type(settings.landing.inspect)} == {bool}
        read = settings.handlers.tables["file"].read(FileHandlerSettings)
        assert all(folder.is_absolute() for folder in read.allowed_folders)


@given(st.binary(max_size=100), environs())
def test_any_file_gives_settings_or_one_printable_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, environ: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "lading.toml"
    path.write_bytes(content)
    ended(lambda: load_settings(str(path), environ))


@given(texts())
def test_any_name_of_a_file_gives_settings_or_one_printable_line(name: str) -> None:
    ended(lambda: load_settings(name, {}))


@given(st.dictionaries(st.sampled_from([*OfEveryType.__dataclass_fields__]) | keys(), values(), max_size=4))
def test_any_table_is_read_or_refused_and_what_was_read_can_be_read_again(table: dict[str, object]) -> None:
    read = ended(lambda: Table(table, "handlers.mine").read(OfEveryType))
    if read is not None:
        assert Table(vars(read), "handlers.mine").read(OfEveryType) == read


@given(st.builds(LandingSettings, st.booleans(), st.booleans()))
def test_a_variable_says_what_the_file_would(landing: LandingSettings) -> None:
    said = {"verify": landing.verify, "inspect": landing.inspect}
    environ = {f"LADING_LANDING__{key.upper()}": str(value) for key, value in said.items()}
    assert read_settings({"landing": said}, {"HOME": "/"}).landing == landing
    assert read_settings({}, {"HOME": "/", **environ}).landing == landing


LISTED = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=',["'), min_size=1)


def test_an_empty_variable_is_no_order_and_an_empty_list_is_one_of_nobody() -> None:
    assert read_settings({}, {"HOME": "/", "LADING_HANDLERS__ORDER": ""}).handlers.order is None
    assert read_settings({"handlers": {"order": []}}, {"HOME": "/"}).handlers.order == ()


@given(st.lists(LISTED, min_size=1))
def test_a_list_with_commas_says_what_the_files_list_would(order: list[str]) -> None:
    by_file = read_settings({"handlers": {"order": order}}, {"HOME": "/"})
    by_variable = read_settings({}, {"HOME": "/", "LADING_HANDLERS__ORDER": ",".join(order)})
    assert by_file.handlers.order == by_variable.handlers.order == tuple(order)


@given(
    st.sampled_from(["password", "secret", "token", "key"]), st.text("abc_", max_size=5), st.text("abc_", max_size=5)
)
def test_a_secret_is_never_shown(word: str, before: str, after: str) -> None:
    key = f"{before}{word}{after}"
    cls = make_dataclass("Secretive", [(key, int)])
    for secret in ("hush", ["hush"], {"x": "hush"}):
        with pytest.raises(SettingsError) as raised:
            Table({key: secret}, "handlers.mine").read(cls)
        assert "hush" not in str(raised.value)
