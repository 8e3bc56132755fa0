"""The code of docs/sdk.md runs as it is written, and its adapters keep the contracts."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from lading import ANONYMOUS, Dispatcher, FetchRequest, Handler, ImageCatalog, ImageNotFound
from lading.adapters.config.table import Table
from lading.sdk.contracts import handler_setup

GUIDE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()


def guide() -> Any:  # noqa: ANN401 - a module that no type checker sees
    """The guide's examples as one module."""
    module = ModuleType("guide")
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        exec(compile(block, "docs/sdk.md", "exec"), vars(module))  # noqa: S102 - the guide's text
    return module


example = guide()
TestShareHandler = example.TestShareHandler
TestKeyValueStore = example.TestKeyValueStore


def test_the_guide_s_adapters_work_together(tmp_path: Path) -> None:
    (tmp_path / "noble").write_bytes(bytes(512))
    handler: Handler = example.ShareHandler(handler_setup({"folder": str(tmp_path)}))
    catalog: ImageCatalog = example.ShareCatalog(Table({"images": ["noble"]}))
    target = tmp_path / "1.img"
    dispatcher = Dispatcher([handler], catalog, example.KeyValueStore({}))
    assert dispatcher.fetch_or_raise(FetchRequest("noble", str(target))).handler == "share"
    assert target.read_bytes() == bytes(512)
    assert dispatcher.remove(str(target)).unwrap().target == str(target)
    assert isinstance(catalog.find("jammy", ANONYMOUS).failure(), ImageNotFound)


def test_the_guide_s_handler_that_is_not_configured_says_which_setting_to_add(tmp_path: Path) -> None:
    catalog = example.ShareCatalog(Table({"images": ["noble"]}))
    dispatcher = Dispatcher([example.ShareHandler(handler_setup({}))], catalog, example.KeyValueStore({}))
    (attempt,) = dispatcher.preview(FetchRequest("noble", str(tmp_path / "1.img")))
    assert "[handlers.share] folder" in attempt.reason
    assert not attempt.would
