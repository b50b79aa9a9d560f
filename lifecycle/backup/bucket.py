"""A store in an S3 bucket, that gives up on a server which does not answer."""

from __future__ import annotations

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from storages.backends.s3 import S3Storage

# In seconds; each is one wait for the server, not the whole of a transfer.
_CONNECT_TIMEOUT = 5
_READ_TIMEOUT = 20
_ATTEMPTS = 4
_MAX_MEMORY_BYTES = 16 << 20


class BucketStorage(S3Storage):  # type: ignore[misc]  # the library is untyped
    """
    An S3-compatible bucket, by django-storages.

    Keys, region and endpoint come from where every AWS client looks: the variables
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL,
    and the files in ~/.aws.
    """

    def __init__(self, bucket: str, prefix: str, *, by_path: bool) -> None:
        """
        Use *bucket* below *prefix*.

        Args:
            by_path: whether the bucket is named in the path of addresses, as most
                servers but Amazon's want it.
        """
        super().__init__(
            bucket_name=bucket,
            location=prefix,
            file_overwrite=True,
            default_acl=None,
            querystring_auth=False,
            max_memory_size=_MAX_MEMORY_BYTES,
            client_config=Config(
                connect_timeout=_CONNECT_TIMEOUT,
                read_timeout=_READ_TIMEOUT,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                s3={"addressing_style": "path" if by_path else "auto"},
                signature_version="s3v4",
            ),
            # Threads would outlive a fork of the master, which restores at its start.
            transfer_config=TransferConfig(use_threads=False),
        )

    def __str__(self) -> str:
        return f"s3://{self.bucket_name}/{self.location}"
