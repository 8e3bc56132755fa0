"""The contracts of lading's ports as pytest suites: subclass one, define its fixture, and run it over your adapter.

    from lading.sdk.contracts import DurableAssociationStoreContract

    class TestOurStore(DurableAssociationStoreContract):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: OurStore(tmp_path)

They need pytest and hypothesis: `pip install 'lading[contracts]'`. For assertions that show their values, call
`pytest.register_assert_rewrite("lading.sdk.contracts")` in conftest.py before the import.
"""

from lading.sdk.contracts.association_stores import AssociationStoreContract, DurableAssociationStoreContract
from lading.sdk.contracts.handlers import DATA, IMAGE, HandlerContract, HandlerRig, Place
from lading.sdk.contracts.image_catalogs import (
    ImageCatalogContract,
    ImageDataContract,
    ImageListingContract,
    ImageRegistryContract,
    ListedCatalog,
    MakeCatalog,
    ReadableCatalog,
    Registry,
)
from lading.sdk.contracts.locks import LocksContract, SharedLocksContract
from lading.sdk.contracts.published_images import PublishedImagesContract
from lading.sdk.contracts.rigs import FolderPlace, handler_setup

__all__ = [
    "DATA",
    "IMAGE",
    "AssociationStoreContract",
    "DurableAssociationStoreContract",
    "FolderPlace",
    "HandlerContract",
    "HandlerRig",
    "ImageCatalogContract",
    "ImageDataContract",
    "ImageListingContract",
    "ImageRegistryContract",
    "ListedCatalog",
    "LocksContract",
    "MakeCatalog",
    "Place",
    "PublishedImagesContract",
    "ReadableCatalog",
    "Registry",
    "SharedLocksContract",
    "handler_setup",
]
