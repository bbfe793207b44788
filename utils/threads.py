"""How PyTorch's idle CPU threads wait for work. To be imported before PyTorch, which reads the setting once.

They spin, by default, which costs nothing on a machine of one's own; beside other busy processes they take the time
that the working thread needs. So where the cores are busy already, threads sleep instead.
"""

import os


def sleep_where_others_work() -> None:
    """Set OMP_WAIT_POLICY=PASSIVE on a busy machine, unless the user has said how threads are to wait."""
    said = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys()
    if said or not hasattr(os, "getloadavg"):  # Windows has none
        return
    if os.getloadavg()[0] > (os.cpu_count() or 1) / 2:  # processes that wanted a core in the last minute
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


sleep_where_others_work()
