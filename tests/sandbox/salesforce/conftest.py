"""Fixtures: the simulated Salesforce on a real socket, and a bare client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from sandbox.salesforce.org import Org
from sandbox.salesforce.server import SimulatedSalesforce
from tests.sandbox.salesforce.wire import Moment, Wire


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
def org(moment: Moment) -> Org:
    return Org(moment)


@pytest.fixture
async def salesforce() -> AsyncIterator[SimulatedSalesforce]:
    async with SimulatedSalesforce() as running:
        yield running


@pytest.fixture
async def wire(salesforce: SimulatedSalesforce) -> AsyncIterator[Wire]:
    async with aiohttp.ClientSession() as session:
        yield Wire(salesforce, session)
