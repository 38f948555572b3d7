"""All faults, in the order in which a round plays them, each over when it returns, but for what it leaves behind.

They strike while writers write and viewers view, and are paced by what is committed and what arrives, not by the clock.
What cannot be told by messages (a frozen process must stay so for as long as others need to notice) waits for what the others
do about it. Each makes sure that it has struck: one that nobody notices would prove nothing.
"""

from collections.abc import Awaitable, Callable

from tests.adversity import on_clients, on_database, on_network, on_service, on_writing
from tests.adversity.stage import Fault, Scene


def _named(strike: Callable[[Scene], Awaitable[None]]) -> Fault:
    return Fault(strike.__name__.replace("_", " "), strike)


FAULTS = (
    _named(on_writing.nothing),
    _named(on_database.backends_terminated),
    _named(on_database.database_killed),
    _named(on_database.database_restarted),
    _named(on_service.leader_killed),
    _named(on_service.leader_frozen),
    _named(on_service.both_killed),
    _named(on_service.restarted_politely),
    _named(on_network.database_network_cut),
    _named(on_network.database_network_frozen),
    _named(on_network.database_network_half_open),
    _named(on_network.database_network_slow),
    _named(on_network.client_network_cut),
    _named(on_network.client_network_frozen),
    _named(on_network.client_network_half_open),
    _named(on_network.client_network_slow),
    _named(on_clients.client_stops_reading),
    Fault("transaction held open", on_writing.nothing, around=on_writing.open_all_the_time),
    _named(on_writing.commits_out_of_order),
    _named(on_writing.bulk_statement),
    _named(on_writing.owners_change),
    Fault("clock of the service stepped", on_service.clock_of_the_service_stepped, needs=("clock",)),
    Fault("clock of the database stepped", on_database.clock_of_the_database_stepped, needs=("clock",)),
    _named(on_clients.tokens_expire),
    _named(on_clients.users_kicked),
    _named(on_database.log_rotated),
    _named(on_database.capture_fails),
    Fault("disk full", on_database.disk_full, needs=("disk",)),
)
