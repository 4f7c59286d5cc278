"""Plans the machines of a file of JSON lines in one process and prints what the resolver alone took.

The machines are read before the clock starts; one catalogue is shared, as a fleet does.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def main() -> None:
    from provision.matrix import read_matrix
    from provision.records import Request
    from provision.resolve import Catalogue, resolve
    from provision.typed import machine_from_document

    matrix = read_matrix()
    with Path(sys.argv[1]).open() as stream:
        machines = [machine_from_document(json.loads(line)["data"], matrix, origin="line") for line in stream]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    catalogue, request = Catalogue(matrix), Request()
    started, worked = time.perf_counter(), time.process_time()
    planned = sum(1 for one in machines if resolve(one, request, matrix, catalogue=catalogue).chosen)
    wall, cpu = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer = {"wall_s": wall, "cpu_s": cpu, "planned": planned, "peak_rss_mib": peak, "rss_of_machines_mib": before}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
