"""Addresses by which the hosts of a run reach each other, found by trying.

The name of a host may resolve to nothing, to 127.0.1.1, or to an interface that every host has
(docker0). So the first rank of each host listens for a moment at each of its addresses, and those
of the other hosts try them all. A random word tells a host from another one that answers there.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mpi_train.exchange.watchdog import own_identity
from reviews.errors import UserError
from reviews.runtime.network import LOOPBACK, Interface, Listener, hears, interfaces


def interface_to(host: str, port: int) -> str:
    """Name of the interface by which this host reaches another one; empty where it is unknown."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
            asks.connect((host, port))  # sends nothing
            own = asks.getsockname()[0]
        return next((one.name for one in interfaces() if one.address == own),
                    "lo" if own.startswith("127.") else "")
    except OSError:
        return ""


def network_stack(host: str) -> str:
    """Name of the network that this process sees: the same for all processes of a host, unless
    some have a network namespace of their own.
    """
    try:
        return f"{own_identity(host).boot} {os.readlink('/proc/self/ns/net')}"
    except OSError:
        return host


def find_interfaces(world: Any, host: str, wanted: str = "") -> list[Interface]:
    """The interface of each rank by which all other hosts reach it; all ranks call this.

    Args:
        world: an MPI communicator, or what stands for one.
        host: name of this host, for messages.
        wanted: name of the interface to use (`--interface`), which may differ from host to host;
            empty: the fastest that is reached.

    Raises UserError on all ranks where two hosts do not reach each other.
    """
    told: list[tuple[str, str]] = world.allgather((network_stack(host), wanted))
    stacks = [stack for stack, _ in told]
    # A variable of one host's environment can want what no other rank has heard of.
    if len(set(stacks)) == 1 and not any(name for _, name in told):
        return [Interface("lo", LOOPBACK, 0)] * len(stacks)
    rank = world.Get_rank()
    leads = [stacks.index(stack) for stack in stacks]
    own = [one for one in interfaces() if one.name == wanted or not (wanted or one.is_loopback)]
    with Listener(own if leads[rank] == rank else []) as listener:
        hosts = world.allgather(host)
        offered: list[_Offer] = [_Offer(*offer) for offer in world.allgather(listener.offer)]
        reached: dict[tuple[int, str], bool] = {}
        if leads[rank] == rank:
            reached = _try_all({lead: offered[lead] for lead in set(leads) - {rank}})
        everyone: list[dict[tuple[int, str], bool]] = world.allgather(reached)
    problem, chosen = _choose(sorted(set(leads)), offered, everyone, hosts, wanted)
    if problem:
        raise UserError(problem)
    return [chosen[lead] for lead in leads]


@dataclass(frozen=True)
class _Offer:
    """Ports at which the first rank of a host listens, and the word that it says there."""

    word: bytes
    ports: Sequence[tuple[str, str, int, int]]  # name, address, speed, port


def _try_all(offers: Mapping[int, _Offer]) -> dict[tuple[int, str], bool]:
    """True for the interfaces of other hosts (by first rank and name) that this host reaches."""
    tries = [(lead, name, address, port, offer.word) for lead, offer in offers.items()
             for name, address, _, port in offer.ports]
    if not tries:
        return {}
    with ThreadPoolExecutor(min(64, len(tries))) as pool:
        found = pool.map(lambda one: hears(one[2], one[3], one[4]), tries)
        return {(lead, name): heard for (lead, name, *_), heard in zip(tries, found, strict=True)}


def _choose(
    leads: Sequence[int], offered: Sequence[_Offer],
    reached: Sequence[Mapping[tuple[int, str], bool]], hosts: Sequence[str], wanted: str,
) -> tuple[str, dict[int, Interface]]:
    """A problem in one line or none, and the interface of each host, by its first rank."""
    chosen: dict[int, Interface] = {}
    for lead in leads:
        others = [other for other in leads if other != lead]
        for name, address, speed, _ in offered[lead].ports:
            if all(reached[other].get((lead, name)) for other in others):
                chosen[lead] = Interface(name, address, speed)
                break
        else:
            there = ", ".join(f"{name} {address}" for name, address, *_ in offered[lead].ports)
            far = next((hosts[other] for other in others if not any(
                reached[other].get((lead, name)) for name, *_ in offered[lead].ports)), None)
            who = f"{far} reaches" if far else "the other hosts all reach"
            tried = there or (f"no interface {wanted}" if wanted else "no address but its own")
            return (f"{who} no address of {hosts[lead]} ({tried}): open its ports, or name the "
                    "interface with --interface"), {}
    return "", chosen
