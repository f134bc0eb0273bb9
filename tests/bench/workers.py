"""Two workers beside one, for an application that computes: how much more two cores get done.

Both run on all cores, and so does the load, which costs next to nothing here: some hundred requests a second. Compared
is the time for an answer under full load, so "at most" is as everywhere: 0.5 is twice as fast.
"""

from __future__ import annotations

from statistics import median

from cases import WorkersCase
from load import drive
from servers import Server
from workshop import Row, Workshop

__all__ = ["run"]


def run(shop: Workshop, case: WorkersCase) -> None:
    """Measure `case`."""
    shop.need_wrk()
    ratios, problem = [], ""
    for number in range(shop.rounds):
        order = (case.one, case.two) if number % 2 == 0 else (case.two, case.one)
        rates = {}
        for server in order:
            rates[server.name], problem = measure(shop, case, server)
            if problem:
                break
        if problem:
            break
        ratios.append(rates[case.one.name] / rates[case.two.name])
        shop.say(f"  {rates[case.one.name]:.0f} and {rates[case.two.name]:.0f} answers a second")
    value = median(ratios) if ratios else None
    shop.rows.append(Row(case.name, case.title, value, "", case.must, case.aim, "", problem))


def measure(shop: Workshop, case: WorkersCase, server: Server) -> tuple[float, str]:
    """Answers a second, and what is wrong with them."""
    with shop.running(case.name, server) as live:
        wrong = shop.check(live, case.load)
        drive(live.address, case.load, 1, shop.folder)
        hits = drive(live.address, case.load, shop.seconds, shop.folder)
        return hits.requests / hits.seconds, wrong or hits.problem or shop.check(live, case.load)
