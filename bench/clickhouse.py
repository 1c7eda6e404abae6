#!/usr/bin/env python3
"""ClickHouse beside the loader: how fast it takes `feed.tsv` of `usher-bench workload`, and its bytes a row.

    pip install chdb && python3 bench/clickhouse.py FEED

Rows only: no dictionary, no bitmaps, visitors as they are sent. As they come, and sorted by visitor, which is what a look
at one visitor needs. Two threads, as the loader has; the text should have been read once before (`cat FEED > /dev/null`).
"""

import sys
import tempfile
import time

import chdb
import chdb.session

COLUMNS = "visitor UUID, segment UInt32, expiry UInt32"


def number(session, query):
    return int(session.query(query, "TSV").bytes())


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    feed = sys.argv[1].replace("\\", "\\\\").replace("'", "\\'")
    with tempfile.TemporaryDirectory(prefix="usher-clickhouse-") as folder:
        session = chdb.session.Session(folder)
        print("ClickHouse", session.query("select version()", "TSV").bytes().decode().strip())
        session.query("create database usher")
        for name, order in (("as they come", "tuple()"), ("sorted by visitor", "(visitor, segment)")):
            session.query("drop table if exists usher.rows sync")
            session.query(f"create table usher.rows ({COLUMNS}) engine = MergeTree order by {order}")
            began = time.monotonic()
            session.query(
                f"insert into usher.rows select * from file('{feed}', TSV, '{COLUMNS}')"
                " settings max_threads = 2, max_insert_threads = 2"
            )
            seconds = time.monotonic() - began
            rows = number(session, "select count() from usher.rows")
            size = number(session, "select sum(bytes_on_disk) from system.parts where active and database = 'usher'")
            print(f"{name}: {rows} rows, {seconds:.2f} s, {rows / seconds / 1e6:.2f} M rows/s, {size / rows:.2f} bytes a row")
        session.close()


if __name__ == "__main__":
    main()
