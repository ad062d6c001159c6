"""An S3 server over a folder: versitygw, built with go."""

from deploy.local.s3.server import S3Server

__all__ = ["S3Server"]
