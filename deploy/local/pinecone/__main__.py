"""Serves the stand-in on a port until it is ended: `python -m deploy.local.pinecone PORT`. The key is a variable."""

import os
import signal
import sys

from deploy.local.pinecone.process import KEY_VARIABLE
from deploy.local.pinecone.server import PineconeStandIn

PineconeStandIn(os.environ[KEY_VARIABLE], port=int(sys.argv[1])).start()
signal.pause()
