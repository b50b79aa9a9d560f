"""What stands in STORAGES for a store that the knob names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def backup_storage(where: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the entry of STORAGES for *where*, a folder or 's3://BUCKET/PREFIX'.

    Args:
        environ: has AWS_ENDPOINT_URL when the bucket is not Amazon's.
    """
    if not where.startswith("s3://"):
        return {
            "BACKEND": "lifecycle.backup.directory.DirectoryStorage",
            "OPTIONS": {"location": where},
        }
    bucket, _, prefix = where.removeprefix("s3://").partition("/")
    is_elsewhere = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} & environ.keys()
    return {
        "BACKEND": "lifecycle.backup.bucket.BucketStorage",
        "OPTIONS": {
            "bucket": bucket,
            "prefix": prefix,
            "by_path": bool(is_elsewhere),
        },
    }
