"""A client for registries (OCI distribution-spec v1.1): credentials, pull, push, referrers.

`client` sends requests and signs in; `pull`, `push`, `upload` and `referrers` say what to ask for.
"""

from __future__ import annotations

from shipwheel.oci.registry.client import RegistryClient, Repository
from shipwheel.oci.registry.credentials import CredentialStore
from shipwheel.oci.registry.pull import (
    RegistryBlob,
    RegistrySource,
    find_digest,
    list_tags,
    pull_image,
    pull_platform,
    resolve,
)
from shipwheel.oci.registry.push import Pushed, push_image
from shipwheel.oci.registry.referrers import list_referrers, push_referrer

__all__ = [
    "CredentialStore",
    "Pushed",
    "RegistryBlob",
    "RegistryClient",
    "RegistrySource",
    "Repository",
    "find_digest",
    "list_referrers",
    "list_tags",
    "pull_image",
    "pull_platform",
    "push_image",
    "push_referrer",
    "resolve",
]
