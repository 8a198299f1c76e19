"""Holds an LMDB read transaction until it is killed; prints a line once it holds it."""

import signal
import sys

import lmdb

environment = lmdb.open(sys.argv[1], max_dbs=16, lib_version=0)
transaction = environment.begin()
transaction.get(b"anything")
print("reading", flush=True)
signal.pause()
