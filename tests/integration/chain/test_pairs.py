"""Every packing of every format, made by the usual programs, in every form that a target can have."""

import subprocess
from itertools import product
from typing import Final, NamedTuple

import pytest
from tests.images import MIB
from tests.integration.chain.host import DISK, FORMATS, GROWN, PACKINGS, ChainHost, Images, plain_content, sha256
from tests.torture import TORTURE

FORMS: Final = {
    "as shipped": "",
    "raw": "--format raw",
    "qcow2": "--format qcow2",
    "raw, grown": f"--format raw --size {GROWN}",
    "qcow2, grown": f"--format qcow2 --size {GROWN}",
    "raw, grown, GPT": f"--format raw --size {GROWN} --fix-gpt",
    "qcow2, grown, GPT": f"--format qcow2 --size {GROWN} --fix-gpt",
    "raw, allocated": "--format raw --preallocation falloc",
    "raw, grown, allocated": f"--format raw --preallocation full --size {GROWN}",
    "qcow2, metadata": "--format qcow2 --preallocation metadata",
    "qcow2, grown, allocated": f"--format qcow2 --preallocation falloc --size {GROWN} --fix-gpt",
}
PROMISES: Final = ("shipped", "content", "both", "none")


class Pair(NamedTuple):
    """An image, where it comes from, and what is wanted of it."""

    packing: str
    kind: str
    form: str
    order: str
    promise: str

    @property
    def name(self) -> str:
        return f"{self.kind} in {self.packing or 'nothing'} by {self.order} to {self.form}, digest: {self.promise}"


EVERY: Final = [Pair(*each) for each in product(PACKINGS, FORMATS, FORMS, ("file", "http"), PROMISES)]
# The steps have no common factor with the numbers of values: each value comes with many of the others.
# Files that are not packed take a way of their own.
PLAIN: Final = [each for each in EVERY if not each.packing and each.order == "file"]
CHOSEN: Final = EVERY[::7] if TORTURE else [*PLAIN[::13], *EVERY[270::113]]


@pytest.mark.parametrize("pair", CHOSEN, ids=[each.name for each in CHOSEN])
def test_the_target_has_the_disk_and_its_record_tells_the_truth(
    chain_host: ChainHost, images: Images, pair: Pair
) -> None:
    image, shipped = images.image(pair.kind), images.packed(pair.kind, pair.packing)
    image_format = pair.kind.partition(",")[0]
    promised: dict[str, str | None] = (
        {"os_hash_algo": None, "os_hash_value": None} if pair.promise in {"content", "none"} else {}
    )
    if pair.promise in {"content", "both"}:
        promised |= {"content_hash_algo": "sha256", "content_hash_value": sha256(image)}
    chain_host.add("noble", shipped, disk_format=image_format, container_format="bare", **promised)
    options = FORMS[pair.form].split()
    printed = chain_host.fetch("noble", *options, order=pair.order)
    target, wanted = (
        chain_host.target,
        "raw" if "raw" in pair.form else "qcow2" if "qcow2" in pair.form else image_format,
    )
    size = GROWN if "grown" in pair.form else len(DISK)
    recorded = chain_host.recorded()
    assert recorded["inspected_by"].startswith("oslo.utils ")
    for facts in (printed, recorded):
        assert (facts["format"], facts["virtual_size"]) == (wanted, size)
        assert facts["verified"] is (pair.promise != "none")
        assert facts["size"] == target.stat().st_size
        is_converted = wanted != image_format or "allocated" in pair.form or "metadata" in pair.form
        assert bool(facts["converted_by"]) is is_converted
        is_other = is_converted or bool(pair.packing) or "grown" in pair.form
        if is_other:
            layers = [*pair.packing.split(", "), image_format] if pair.packing else [image_format]
            is_known = pair.promise in {"shipped", "both"} or (pair.promise == "content" and not pair.packing)
            digest = f"sha256:{sha256(shipped)}" if is_known else None
            assert facts["shipped"] == {"format": ", ".join(layers), "size": len(shipped), "digest": digest}
        else:
            assert facts["shipped"] is None
            assert target.read_bytes() == image
        if not is_converted and "grown" not in pair.form:
            assert target.read_bytes() == image
    assert_content(plain_content(target, wanted), size, moved="GPT" in pair.form or "--fix-gpt" in options)
    if "allocated" in pair.form:
        assert target.stat().st_blocks * 512 >= size
    if "--fix-gpt" in options:
        (chain_host.top / "disk").write_bytes(plain_content(target, wanted))
        checked = subprocess.run(["sgdisk", "-v", chain_host.top / "disk"], capture_output=True, text=True, check=True)
        assert "No problems found" in checked.stdout
    chain_host.assert_whole()


def assert_content(content: bytes, size: int, *, moved: bool) -> None:
    assert len(content) == size
    if moved:
        # Between the table and its backup.
        assert content[MIB : len(DISK) - 20 * 1024] == DISK[MIB : -20 * 1024]
        return
    assert content[: len(DISK)] == DISK
    assert not any(content[len(DISK) :])
